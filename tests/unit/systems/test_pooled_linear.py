"""The pooled rival against scikit-learn, its steps spelt out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.svm import LinearSVC
from tests.unit.pooled_baseline import CLASSES, made_inputs, training

from speechlasso.errors import InputError
from speechlasso.selection.bag_of_words import BagOfWords, weighting
from speechlasso.systems import pooled_linear_model


def fit_and_predict(files, folder, **arm):
    said = pooled_linear_model.fit(files, training(**arm), folder, threads=1)
    return said, pooled_linear_model.open(folder).predict(files, threads=1)


def dense_features(inputs, frames, columns, with_text):
    """Mean and spread of half-precision frames, to unit variance on training rows, and words."""
    bow = BagOfWords.load(inputs["bow"][0].rpartition("/")[0])
    train = bow.rows_in("train")
    rows = []
    for name in bow.rows["id"]:
        half = frames[name].astype(np.float16).astype(np.float32)[:, columns]
        parts = [
            part for c in range(len(columns)) for part in (half[:, c].mean(0), half[:, c].std(0))
        ]
        rows.append(np.concatenate(parts))
    audio = np.array(rows)
    parts = [(audio - audio[train].mean(axis=0)) / audio[train].std(axis=0)]
    if with_text:
        parts.append(weighting().fit(bow.text[train]).transform(bow.text).toarray())
    return bow.rows, np.hstack(parts), train


@pytest.mark.parametrize(
    ("arm", "columns"), [({}, [0, 1]), ({"layers": [2]}, [1]), ({"inputs": ["audio"]}, [0, 1])]
)
def test_it_is_logistic_regression_on_pooled_frames_and_words(tmp_path, arm, columns):
    inputs, frames = made_inputs(tmp_path)
    said, predictions = fit_and_predict(inputs, tmp_path, C=[0.001, 0.1], **arm)
    rows, features, train = dense_features(inputs, frames, columns, "inputs" not in arm)
    validation = (rows["split"] == "validation").to_numpy()
    scores = {}
    for C in (0.001, 0.1):
        model = LogisticRegression(C=C, class_weight="balanced", max_iter=5000, tol=1e-8)
        model.fit(features[train], rows["label"].to_numpy()[train])
        decided = model.predict(features[validation])
        scores[C] = recall_score(rows.loc[validation, "label"], decided, average="macro")
        if said["C"] == C:
            expected = model.predict_proba(features)
    assert said["C"] == max(scores, key=scores.get)
    np.testing.assert_allclose(predictions[[f"p_{name}" for name in CLASSES]], expected, atol=2e-3)
    assert set(predictions["n_audio_tokens"]) == {0}


def test_margins_of_the_svm_decide(tmp_path):
    inputs, frames = made_inputs(tmp_path)
    _, predictions = fit_and_predict(inputs, tmp_path, classifier="linear_svm", C=[0.001])
    rows, features, train = dense_features(inputs, frames, [0, 1], with_text=True)
    model = LinearSVC(C=0.001, class_weight="balanced", random_state=0, max_iter=20_000)
    model.fit(features[train], rows["label"].to_numpy()[train])
    assert (predictions["predicted"] == model.predict(features)).mean() > 0.98
    assert predictions.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])
def test_two_classes_have_one_margin(tmp_path, classifier):
    inputs, _ = made_inputs(tmp_path)
    path = inputs["bow"][0]
    rows = pd.read_parquet(path)
    rows.assign(label=np.where(rows["label"] == "sad", "sad", "other")).to_parquet(path)
    _, predictions = fit_and_predict(inputs, tmp_path, classifier=classifier)
    assert list(predictions.filter(like="p_")) == ["p_other", "p_sad"]
    right = predictions["predicted"] == predictions["label"]
    assert right[predictions["split"] == "test"].mean() > 0.7
    assert ((predictions["p_sad"] > 0.5) == (predictions["predicted"] == "sad")).all()


def test_no_test_row_is_learned_from(tmp_path):
    inputs, _ = made_inputs(tmp_path)
    fit_and_predict(inputs, tmp_path)
    before = (tmp_path / "model.npz").read_bytes()
    rows = pd.read_parquet(inputs["bow"][0])
    rows.loc[rows["split"] == "test", "label"] = "calm"
    rows.to_parquet(inputs["bow"][0])
    fit_and_predict(inputs, tmp_path)
    assert (tmp_path / "model.npz").read_bytes() == before


def test_a_layer_that_the_encoder_does_not_keep_is_named(tmp_path):
    inputs, _ = made_inputs(tmp_path)
    with pytest.raises(InputError, match=r"\[1\] are not among the layers \[0, 2\]"):
        fit_and_predict(inputs, tmp_path, layers=[0, 1])


def test_words_alone_need_no_frames(tmp_path):
    inputs, _ = made_inputs(tmp_path)
    _, predictions = fit_and_predict({"bow": inputs["bow"]}, tmp_path, inputs=["text"])
    assert (predictions["n_text_tokens"] == 2).mean() > 0.9


def test_texts_without_a_word_are_told(tmp_path):
    inputs, _ = made_inputs(tmp_path)
    bow = BagOfWords.load(tmp_path / "bow")
    replace(bow, text=bow.text[:, :0], words=[]).save(tmp_path / "bow")
    with pytest.raises(InputError, match="no training text has a word to count"):
        fit_and_predict({"bow": inputs["bow"]}, tmp_path, inputs=["text"])
    _, with_audio = fit_and_predict(inputs, tmp_path)
    _, audio_alone = fit_and_predict(inputs, tmp_path, inputs=["audio"])
    pd.testing.assert_frame_equal(with_audio, audio_alone)
