"""Codes that never occur in the rows that a selection learns from change nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.unit.linear_baseline import bow_linear, fit_and_predict

from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.selection.frequency_penalty import frequency_factors
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import Given, lasso_selection_probabilities, select
from speechlasso.selection.settings import (
    AllTokens,
    LassoSelection,
    RandomSelection,
    RankedSelection,
    StabilitySelection,
)
from speechlasso.selection.token_selection import Token, TokenSelection

CODES, LAYERS, WORDS = 15, 2, 5
N = 200

SELECTIONS = {
    "lasso": LassoSelection(method="lasso", alpha=2.0),
    "lasso_of_a_size": LassoSelection(method="lasso", n_tokens=6),
    "lasso_cv": LassoSelection(method="lasso", alpha="cv", cv_folds=3),
    "one_vs_rest": LassoSelection(method="lasso", alpha=2.0, multi_class="one_vs_rest"),
    "audio_counts": LassoSelection(
        method="lasso", alpha=4.0, inputs="audio", weighting="counts", scaling="none"
    ),
    "nonzero": LassoSelection(method="lasso", alpha=4.0, threshold="nonzero"),
    "frequency_lasso": LassoSelection(method="lasso", alpha=2.0, frequency_exponent=0.5),
    "stability": StabilitySelection(method="stability", alpha=2.0, n_subsamples=6),
    "chi_square": RankedSelection(method="chi_square"),
    "mutual_information": RankedSelection(method="mutual_information"),
    "most_frequent": RankedSelection(method="most_frequent"),
    "random": RandomSelection(method="random"),
    "all": AllTokens(method="all"),
}


def make_bow(n_dead: int, outside: int = 0) -> BagOfWords:
    """The same counts in codebooks with `n_dead` more codes, which occur `outside` times in each
    row that is no training row and never in training rows."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["x", "y", "z"], N)
    counts = rng.poisson(0.7, (N, LAYERS, CODES)) * (rng.random((N, LAYERS, CODES)) < 0.6)
    counts[:, 0, 3] += 2 * (labels == "x")
    counts[:, 1, 5] += 2 * (labels == "y")
    text = rng.poisson(0.5, (N, WORDS))
    text[:, 0] += 2 * (labels == "z")
    split = np.repeat(["train", "validation", "test"], [140, 30, 30])
    dead = np.zeros((N, LAYERS, n_dead), dtype=np.int64)
    dead[split != "train"] = outside
    audio = np.concatenate([counts, dead], axis=2).reshape(N, -1)
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(N)], "label": labels, "split": split})
    features = AudioFeatures(first_layer=1, n_layers=LAYERS, codebook_size=CODES + n_dead)
    return BagOfWords(
        rows, sp.csr_array(audio), sp.csr_array(text), features, [f"w{i}" for i in range(WORDS)]
    )


def kept_by(selection, bow):
    """The kept (layer, code) pairs with their weights."""
    path = None
    if isinstance(selection, LassoSelection):
        path = SelectionPath.fitted(LassoRows.of(bow, selection))
    chosen = select(bow, selection, Given(path=path, n_tokens=7, seed=1, fold="given"))
    return {(token.layer, token.code): token.weight for token in chosen.tokens}


@pytest.mark.slow
@pytest.mark.parametrize("name", SELECTIONS)
def test_idle_codes_change_no_selection(name):
    without = kept_by(SELECTIONS[name], make_bow(0))
    assert 2 < len(without) <= LAYERS * CODES
    for n_dead, outside in ((360, 0), (40, 3)):
        found = kept_by(SELECTIONS[name], make_bow(n_dead, outside))
        assert found.keys() == without.keys()
        if name not in ("random", "all"):
            weights = [found[token] for token in without]
            np.testing.assert_allclose(weights, list(without.values()), rtol=0.02, atol=1e-3)


def test_codes_of_held_out_training_rows_are_idle_for_the_fit():
    """The rows that score the lasso have no say in what it keeps."""
    selection = SELECTIONS["frequency_lasso"]
    bow, more = make_bow(0), make_bow(60)
    held_out = bow.rows_in("train")[LassoRows.of(bow, selection).held_out]
    audio = more.audio.toarray().reshape(N, LAYERS, -1)
    audio[held_out, :, CODES:] = 5
    more = BagOfWords(
        more.rows, sp.csr_array(audio.reshape(N, -1)), more.text, more.features, more.words
    )
    for name in ("lasso", "frequency_lasso"):
        found, expected = (kept_by(SELECTIONS[name], each) for each in (more, bow))
        assert found.keys() == expected.keys()


def test_idle_codes_change_no_selection_probability():
    selection = SELECTIONS["frequency_lasso"].model_copy(update={"n_subsamples": 6})
    probabilities = []
    for n_dead in (0, 90):
        bow = make_bow(n_dead)
        path = SelectionPath.fitted(LassoRows.of(bow, selection))
        chosen = select(bow, selection, Given(path=path))
        found = lasso_selection_probabilities(bow, selection, chosen)
        probabilities.append(found.reshape(LAYERS, -1)[:, :CODES])
    np.testing.assert_array_equal(*probabilities)


def test_codes_that_training_rows_lack_change_no_linear_prediction():
    """Not even those of test rows, whose length TF-IDF divides by."""
    settings = bow_linear(C=[0.1])
    predictions = []
    for n_dead, outside in ((0, 0), (25, 4)):
        bow = make_bow(n_dead, outside)
        every_code = TokenSelection(
            "all", [Token(0, 0, index) for index in range(len(bow.features))], 0, {}, {}
        )
        inputs = ["text", "audio"]
        found, _ = fit_and_predict(bow, every_code, inputs, settings, Criterion())
        predictions.append(found[["p_x", "p_y", "p_z"]].to_numpy())
    np.testing.assert_allclose(predictions[1], predictions[0], atol=1e-3)


def test_factors_do_not_depend_on_idle_codes():
    counts = make_bow(0).audio
    more = sp.hstack([counts, sp.csr_array((N, 33), dtype=counts.dtype)], format="csr")
    np.testing.assert_allclose(
        frequency_factors(more, 0.5)[: counts.shape[1]], frequency_factors(counts, 0.5)
    )
