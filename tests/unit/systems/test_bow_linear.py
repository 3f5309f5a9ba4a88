"""The linear baseline: against scikit-learn, on which rows it learns, its options."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from small_bow import indices, lasso, make_bow
from tests.unit.linear_baseline import bow_linear, fit_and_predict

from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.systems.bow_linear_model import Counts, FittedLinear, fit_linear


def test_rare_classes_weigh_as_much_as_frequent_ones():
    """Each row weighs the inverse of its class's share, as if all classes were of one size."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["often", "rare"], [90, 10])
    text = rng.poisson(1.0, (100, 4)) + np.outer(labels == "rare", [1, 0, 0, 0])
    split = np.where(np.arange(100) % 5 == 0, "validation", "train")
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(100)], "label": labels, "split": split})
    empty = sp.csr_array((100, 0), dtype=np.int32)
    bow = BagOfWords(rows, empty, sp.csr_array(text), AudioFeatures(0, 0, 0), list("abcd"))
    settings = bow_linear(C=[0.1], weighting="counts", scaling="none")
    predictions, _ = fit_and_predict(bow, None, ["text"], settings, Criterion())

    train = split == "train"
    shares = pd.Series(labels[train]).value_counts(normalize=True)
    weights = 1 / (2 * shares[labels[train]].to_numpy())
    model = LogisticRegression(C=0.1, tol=1e-8).fit(text[train], labels[train], weights)
    np.testing.assert_allclose(
        predictions["p_rare"], model.predict_proba(text)[:, 1], rtol=1e-3, atol=1e-4
    )
    assert predictions["p_rare"].mean() > 0.3, "unweighted, it is about the class's share"


@pytest.mark.parametrize(
    "settings",
    [
        {"C": [0.1]},
        {"C": [0.1], "weighting": "counts"},
        {"C": [0.1], "scaling": "none"},
        {"classifier": "dummy", "C": [1.0]},
    ],
)
def test_what_was_saved_predicts_the_same_bytes(tmp_path, settings):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(60)],
            "label": rng.choice(["no", "perhaps", "yes"], 60),
            "split": ["train", "validation", "test"] * 20,
        }
    )
    counts = Counts(rows, sp.csr_array(rng.poisson(0.3, (60, 9))), None)
    arm = bow_linear(inputs=["audio"], select="lasso", **settings)
    fitted, _ = fit_linear(counts, arm, Criterion(metric="uar"), seed=3)
    fitted.save(tmp_path / "model.npz")
    opened = FittedLinear.open(tmp_path / "model.npz")
    assert opened.arm == arm
    for _ in range(2):
        pd.testing.assert_frame_equal(
            opened.predict_counts(counts), fitted.predict_counts(counts), check_exact=True
        )


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_C_is_chosen_in_the_direction_of_the_metric(metric):
    rng = np.random.default_rng(2)
    labels = rng.choice(["no", "yes"], 90)
    rows = pd.DataFrame({"id": range(90), "label": labels, "split": ["train", "validation"] * 45})
    counts = sp.csr_array(rng.poisson(1 + np.outer(labels == "yes", np.arange(6) % 2)))
    arm = bow_linear(inputs=["audio"], select="lasso", C=[1e-4, 0.01, 1.0, 100.0])
    _, training = fit_linear(Counts(rows, counts, None), arm, Criterion(metric=metric))
    scores = dict(training[f"validation_{metric}"])
    best = (min if metric == "loss" else max)(scores.values())
    assert scores[training["C"]] == best
    assert min(scores.values()) < max(scores.values())


def test_the_linear_baseline_learns_from_training_rows_and_chooses_c_on_validation():
    bow = make_bow()
    settings = bow_linear(C=[1e-9, 0.01, 1.0])
    selection = lasso(bow)
    predictions, training = fit_and_predict(
        bow, selection, ["text", "audio"], settings, Criterion()
    )
    scores = dict(training["validation_macro_f1"])
    assert set(scores) == set(settings.C)
    assert scores[training["C"]] == max(scores.values())
    assert predictions["id"].tolist() == bow.rows["id"].tolist()
    test = predictions[predictions["split"] == "test"]
    assert (test["label"] == test["predicted"]).mean() > 0.8
    text, _ = fit_and_predict(bow, None, ["text"], settings, Criterion())
    text_test = text[text["split"] == "test"]
    assert (text_test["label"] == text_test["predicted"]).mean() < 0.8
    np.testing.assert_array_equal(
        predictions["n_audio_tokens"], bow.audio[:, indices(selection)].sum(axis=1)
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_its_size_is_that_of_its_coefficients_and_intercepts(n_classes):
    """Two classes have one margin; chance has learned none."""
    bow = make_bow()
    classes = [*np.unique(bow.rows["label"])[: n_classes - 1], "another"]
    bow.rows["label"] = np.resize(classes, len(bow.rows))
    selection = lasso(bow, alpha=1.0)
    n_features = len(selection.tokens) + len(bow.words)

    def size(**settings):
        arm = bow_linear(C=[0.1], **settings)
        said = fit_and_predict(bow, selection, ["text", "audio"], arm, Criterion())[1]
        return said["trainable_parameters"]

    assert size() == (n_features + 1) * (1 if n_classes == 2 else n_classes)
    assert size(classifier="dummy") == 0


def test_texts_without_any_word_are_told_to_the_linear_baseline():
    bow = make_bow()
    mute = BagOfWords(bow.rows, bow.audio, bow.text[:, :0], bow.features, [])
    with pytest.raises(InputError, match="no training text has a word to count"):
        fit_and_predict(mute, None, ["text"], bow_linear(), Criterion())
    selection = lasso(mute, alpha=1.0)
    fit_and_predict(mute, selection, ["text", "audio"], bow_linear(C=[0.1]), Criterion())


def test_the_dummy_is_chance():
    settings = bow_linear(classifier="dummy")
    predictions, _ = fit_and_predict(make_bow(), None, ["text"], settings, Criterion())
    hits = (predictions["label"] == predictions["predicted"]).mean()
    assert 0.2 < hits < 0.5
    assert set(predictions["predicted"]) == {"x", "y", "z"}


def test_each_seed_draws_another_dummy_and_the_same_logistic_regression():
    def labels(method, seed):
        settings = bow_linear(classifier=method, C=[0.1])
        predictions, _ = fit_and_predict(make_bow(), None, ["text"], settings, Criterion(), seed)
        return predictions["predicted"].tolist()

    assert labels("dummy", 1) == labels("dummy", 1) != labels("dummy", 2)
    assert labels("logistic_regression", 1) == labels("logistic_regression", 2)


def test_the_linear_baselines_weighting_is_a_setting():
    loss = {}
    for method in ("tfidf", "counts"):
        settings = bow_linear(C=[0.1], weighting=method, scaling="none")
        predictions, _ = fit_and_predict(make_bow(), None, ["text"], settings, Criterion())
        loss[method] = predictions["p_x"].to_numpy()
    assert not np.allclose(loss["tfidf"], loss["counts"])
