"""The classic baseline against scikit-learn, its steps spelt out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tests.unit.pooled_baseline import ACOUSTIC, acoustics, made_inputs

from speechlasso.evaluation.settings import Criterion
from speechlasso.features.functionals import functionals
from speechlasso.pipeline.stages import FitLinear
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.systems import mfcc_linear_model
from speechlasso.systems.mfcc_linear import MFCCLinear

STRENGTHS = [0.0001, 0.001, 0.01]


def fit_and_predict(files, folder, **arm):
    settings = FitLinear(
        arm=MFCCLinear(system="mfcc_linear", **arm), criterion=Criterion(metric="uar")
    )
    said = mfcc_linear_model.fit(files, settings, folder, threads=1)
    return said, mfcc_linear_model.open(folder).predict(files, threads=1)


@pytest.fixture
def made(tmp_path):
    return made_inputs(tmp_path, frames_of=acoustics, kind=ACOUSTIC)


def test_it_is_a_linear_svm_on_functionals(made, tmp_path):
    inputs, frames = made
    said, predictions = fit_and_predict(inputs, tmp_path, inputs=["audio"], C=STRENGTHS)
    rows = BagOfWords.load(tmp_path / "bow").rows
    vectors = np.array([functionals(frames[n].astype(np.float16)[:, 0]) for n in rows["id"]])
    labels = rows["label"].to_numpy()
    train, validation = ((rows["split"] == name).to_numpy() for name in ("train", "validation"))
    models, scores = {}, {}
    for C in STRENGTHS:
        svm = LinearSVC(C=C, class_weight="balanced", random_state=0, max_iter=20_000)
        models[C] = make_pipeline(StandardScaler(), svm).fit(vectors[train], labels[train])
        decided = models[C].predict(vectors[validation])
        scores[C] = recall_score(labels[validation], decided, average="macro")
    assert dict(said["validation_uar"]) == pytest.approx(scores)
    assert scores[said["C"]] == max(scores.values()) > 0.6
    expected = models[said["C"]].predict(vectors)
    assert (predictions["predicted"] == expected).mean() > 0.98
    assert said["trainable_parameters"] == 3 * 250 + 3
    assert set(predictions["n_text_tokens"]) == {0}


def test_words_are_read_as_well_where_they_are_asked_for(made, tmp_path):
    inputs, _ = made
    said, predictions = fit_and_predict(inputs, tmp_path, inputs=["text", "audio"], C=[0.001])
    n_words = len(BagOfWords.load(tmp_path / "bow").words)
    assert said["trainable_parameters"] == 3 * (250 + n_words) + 3
    assert (predictions["n_text_tokens"] > 0).all()


def test_only_training_rows_teach_it(made, tmp_path):
    """One C: nothing is chosen, so labels of other rows and their order change nothing."""
    inputs, _ = made
    fit_and_predict(inputs, tmp_path, C=[0.001])
    before = (tmp_path / "model.npz").read_bytes()
    rows = pd.read_parquet(inputs["bow"][0])
    rows.loc[rows["split"] != "train", "label"] = "calm"
    rows.to_parquet(inputs["bow"][0])
    fit_and_predict(inputs, tmp_path, C=[0.001])
    assert (tmp_path / "model.npz").read_bytes() == before
