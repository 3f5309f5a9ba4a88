"""The path of a small problem: its rows, its table, and its files."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, f1_score, recall_score

from speechlasso.errors import InputError
from speechlasso.lasso.fit import LassoFit, predict_probabilities
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords, weighting
from speechlasso.selection.frequency_penalty import frequency_factors
from speechlasso.selection.path import LassoRows, SelectionPath, columns_of_layers
from speechlasso.selection.settings import LassoSelection

FEATURES = AudioFeatures(first_layer=1, n_layers=2, codebook_size=4)
SETTINGS = LassoSelection(method="lasso", holdout=0.25)


def make_bow(classes=("x", "y", "z")):
    """48 training rows, among which others stand; token 1 tells x, word 0 z."""
    rng = np.random.default_rng(0)
    labels = np.array(classes)[np.arange(60) % len(classes)]
    audio, text = rng.poisson(1.0, (60, 8)), rng.poisson(1.0, (60, 3))
    audio[:, 1] += 3 * (labels == "x")
    text[:, 0] += 3 * (labels == "z")
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(60)], "label": labels})
    rows["split"] = np.where(np.arange(60) % 5 == 2, "test", "train")
    return BagOfWords(rows, sp.csr_array(audio), sp.csr_array(text), FEATURES, list("abc"))


@pytest.fixture(scope="module")
def rows():
    return LassoRows.of(make_bow(), SETTINGS)


@pytest.fixture(scope="module")
def path(rows):
    return SelectionPath.fitted(rows)


def test_rows_are_those_of_training_with_the_columns_that_are_asked_for():
    bow = make_bow()
    train = np.flatnonzero(bow.rows["split"] == "train")
    audio, text = bow.audio.toarray()[train], bow.text.toarray()[train]
    for layers, columns in ((None, range(8)), ([2], range(4, 8)), ([2, 1], range(8))):
        for inputs, words in (("joint", text), ("audio", text[:, :0])):
            settings = SETTINGS.model_copy(update={"layers": layers, "inputs": inputs})
            rows = LassoRows.of(bow, settings)
            assert rows.audio_index.tolist() == list(columns)
            assert rows.n_audio_features == len(columns)
            expected = np.hstack([audio[:, columns], words])
            np.testing.assert_array_equal(rows.counts.toarray(), expected)
            assert rows.labels.tolist() == bow.rows["label"][train].tolist()
            assert sorted([*rows.fit, *rows.held_out]) == list(range(48))
            assert len(rows.held_out) == 12 and rows.groups is None


def test_a_division_that_fails_names_its_setting():
    bow = make_bow()
    bow.rows.loc[0, "label"] = "rare"
    with pytest.raises(InputError, match="the lasso's holdout: 48 training rows cannot be div"):
        LassoRows.of(bow, SETTINGS)


def test_the_table_counts_weights_and_scores_the_held_out_rows(rows, path):
    for fit, row in [(path.fits[i], path.table.loc[i]) for i in range(0, 50, 7)]:
        weighted = np.abs(fit.coef).sum(axis=0) > 0
        assert (row["n_audio"], row["n_text"]) == (weighted[:8].sum(), weighted[8:].sum())
        assert (row["alpha"], row["objective"]) == (fit.alpha, fit.objective)
        predicted = predict_probabilities(fit, rows.weighted[1]).argmax(axis=1)
        predicted = fit.classes[predicted]
        truth = rows.labels[rows.held_out]
        assert row["holdout_accuracy"] == accuracy_score(truth, predicted)
        assert row["holdout_uar"] == pytest.approx(recall_score(truth, predicted, average="macro"))
        assert row["holdout_macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert path.table["n_audio"].nunique() > 3 and path.table["n_text"].nunique() > 1


@pytest.mark.parametrize(
    ("classes", "multi_class"), [("xyz", "one_vs_rest"), ("xyz", "multinomial"), ("xz", None)]
)
def test_every_field_of_every_fit_survives_the_disk(tmp_path, classes, multi_class):
    settings = SETTINGS.model_copy(update={"multi_class": multi_class or "multinomial"})
    rows = LassoRows.of(make_bow(tuple(classes)), settings)
    _, fits = rows.fit_path_to(rows.counts[rows.fit], rows.labels[rows.fit], [8.0, 4.0, 2.0])
    columns = ["alpha", "objective", "duality_gap", "converged", "iterations", "seconds"]
    table = pd.DataFrame([{name: getattr(fit, name) for name in columns} for fit in fits])
    path = SelectionPath(fits, table)
    path.save(tmp_path)
    loaded = SelectionPath.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.table, path.table)
    for before, after in zip(path.fits, loaded.fits, strict=True):
        for field in fields(LassoFit):
            expected, found = (getattr(fit, field.name) for fit in (before, after))
            np.testing.assert_array_equal(found, expected, err_msg=field.name)


def test_a_fit_off_the_path_starts_from_its_neighbour(rows, path):
    """One as cold as the first would need more steps."""
    assert path.at(path.fits[7].alpha, rows) is path.fits[7]
    alpha = path.fits[-2].alpha * 0.999
    refined = path.at(alpha, rows)
    assert refined.alpha == alpha
    assert (
        refined.iterations
        < rows.fit_to(rows.counts[rows.fit], rows.labels[rows.fit], alpha).iterations
    )


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_weights_and_frequencies_are_learned_from_the_rows_that_fit(exponent):
    bow = make_bow()
    plain = LassoRows.of(bow, SETTINGS)
    fit, held_out = plain.counts[plain.fit], plain.counts[plain.held_out]
    weights = weighting().fit(fit)
    factors = np.ones(11)
    factors[:8] = frequency_factors(fit[:, :8], exponent)
    assert (len(set(factors)) > 1) == (exponent > 0)
    settings = SETTINGS.model_copy(update={"frequency_exponent": exponent})
    for found, counts in zip(LassoRows.of(bow, settings).weighted, (fit, held_out), strict=True):
        expected = weights.transform(counts).toarray() * factors
        np.testing.assert_allclose(found.toarray(), expected)


def test_columns_of_layers():
    assert columns_of_layers(FEATURES, None).tolist() == list(range(8))
    assert columns_of_layers(FEATURES, [1]).tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="which are 1, 2 "):
        columns_of_layers(FEATURES, [3])
