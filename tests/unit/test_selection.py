"""Selections: what is kept, and that nothing but training rows decides it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from speechlasso.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.config import LassoSelection, LinearClassifier
from speechlasso.errors import InputError
from speechlasso.linear_classifier import fit_and_predict
from speechlasso.selection import (
    TokenSelection,
    keep_important,
    select_all,
    select_by_lasso,
    select_random,
)

FEATURES = AudioFeatures(first_layer=1, n_layers=2, codebook_size=10)
N = 160
LASSO = LassoSelection(method="lasso", alpha=2.0)


def make_bow(seed=0):
    """Audio token 3 (layer 1, code 3) tells class x, token 15 (layer 2, code 5) class y; word 0
    tells class z."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["x", "y", "z"], N)
    audio = rng.poisson(1.0, (N, 20))
    audio[:, 3] += 4 * (labels == "x")
    audio[:, 15] += 4 * (labels == "y")
    text = rng.poisson(0.5, (N, 6))
    text[:, 0] += 3 * (labels == "z")
    split = np.repeat(["train", "validation", "test"], [100, 30, 30])
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(N)], "label": labels, "split": split})
    return BagOfWords(
        rows, sp.csr_array(audio), sp.csr_array(text), FEATURES, [f"w{i}" for i in range(6)]
    )


def indices(selection):
    return [token.index for token in selection.tokens]


def test_the_lasso_finds_the_tokens_that_tell_the_class():
    selection = select_by_lasso(make_bow(), LASSO, "macro_f1", None)
    heaviest = sorted(selection.tokens, key=lambda token: -token.weight)[:2]
    assert {(token.layer, token.code) for token in heaviest} == {(1, 3), (2, 5)}
    evidence = selection.evidence
    assert evidence["C"] == 0.5
    assert evidence["duality_gap"] < 1e-3
    assert evidence["holdout_macro_f1"] > 0.8
    assert evidence["n_fit_rows"] == 80


def test_words_compete_but_are_never_selected():
    selection = select_by_lasso(make_bow(), LASSO, "macro_f1", None)
    assert all(index < len(FEATURES) for index in indices(selection))
    assert selection.evidence["n_nonzero_text"] >= 1
    alone = select_by_lasso(
        make_bow(), LASSO.model_copy(update={"inputs": "audio"}), "macro_f1", None
    )
    assert alone.evidence["n_nonzero_text"] == 0
    assert len(alone.tokens) > len(selection.tokens), "without words, audio must explain class z"


def test_labels_outside_the_training_rows_change_nothing():
    bow = make_bow()
    shuffled = bow.rows.copy()
    outside = shuffled["split"] != "train"
    shuffled.loc[outside, "label"] = shuffled.loc[outside, "label"].to_numpy()[::-1]
    other = BagOfWords(shuffled, bow.audio, bow.text, bow.features, bow.words)
    assert not shuffled["label"].equals(bow.rows["label"])
    first, second = (select_by_lasso(b, LASSO, "macro_f1", None) for b in (bow, other))
    assert first.to_json() == second.to_json()


def test_counts_outside_the_training_rows_change_nothing():
    bow = make_bow()
    audio = bow.audio.toarray()
    audio[100:] = 7
    other = BagOfWords(bow.rows, sp.csr_array(audio), bow.text, bow.features, bow.words)
    first, second = (select_by_lasso(b, LASSO, "macro_f1", None) for b in (bow, other))
    assert first.to_json() == second.to_json()


def test_an_alpha_that_keeps_nothing_says_from_where_on():
    with pytest.raises(InputError, match=r"alpha 1000 no audio token .* vanish from [\d.]+ on"):
        select_by_lasso(make_bow(), LASSO.model_copy(update={"alpha": 1000.0}), "macro_f1", None)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threshold": "mean"}, [1, 4]),  # the mean over all seven features is 2
        ({"threshold": "nonzero"}, [1, 2, 4]),
        ({"threshold": "top_k", "top_k": 1}, [4]),
        ({"threshold": "top_k", "top_k": 99}, [1, 2, 4]),
    ],
)
def test_thresholds(settings, expected):
    importance = np.array([0.0, 2.0, 1.0, 0.0, 5.0, 6.0, 0.0])
    kept = keep_important(importance, 5, LassoSelection(method="lasso", **settings))
    assert kept.tolist() == expected


def test_the_random_control_draws_anew_for_each_seed_and_never_twice_the_same_token():
    draws = [indices(select_random(FEATURES, 8, seed)) for seed in range(20)]
    assert all(len(set(draw)) == 8 for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 20
    assert draws[0] == indices(select_random(FEATURES, 8, 0))
    counts = np.bincount(
        np.concatenate([indices(select_random(FEATURES, 8, seed)) for seed in range(500)]),
        minlength=20,
    )
    # Each of 20 tokens is expected 200 times, with a standard deviation of about 11.
    assert abs(counts - 200).max() < 50


def test_selections_survive_json():
    for selection in (
        select_all(FEATURES),
        select_random(FEATURES, 3, 1),
        select_by_lasso(make_bow(), LASSO, "uar", None),
    ):
        value = json.loads(json.dumps(selection.to_json(), allow_nan=False))
        assert TokenSelection.from_json(value).to_json() == selection.to_json()
        assert {"method", "alpha", "C", "objective", "duality_gap", "n_features"} <= set(value)


def test_ranks_lead_back_to_the_codecs_own_layers():
    selection = select_random(FEATURES, 6, 3)
    ranks = selection.rank_of_code(n_layers=3, codebook_size=10)
    assert (ranks[0] == -1).all(), "layer 0 is not used"
    for rank, token in enumerate(selection.tokens):
        assert ranks[token.layer, token.code] == rank
    assert (ranks >= 0).sum() == 6


def test_the_linear_baseline_learns_from_training_rows_and_chooses_c_on_validation():
    bow = make_bow()
    settings = LinearClassifier(C=[1e-9, 0.01, 1.0])
    selection = select_by_lasso(bow, LASSO, "macro_f1", None)
    predictions, training = fit_and_predict(
        bow, selection, ["text", "audio"], settings, "macro_f1", None
    )
    scores = dict(training["validation_macro_f1"])
    assert set(scores) == set(settings.C)
    assert scores[training["C"]] == max(scores.values())
    assert predictions["id"].tolist() == bow.rows["id"].tolist()
    test = predictions[predictions["split"] == "test"]
    assert (test["label"] == test["predicted"]).mean() > 0.8
    text, _ = fit_and_predict(bow, None, ["text"], settings, "macro_f1", None)
    text_test = text[text["split"] == "test"]
    assert (text_test["label"] == text_test["predicted"]).mean() < 0.8
    np.testing.assert_array_equal(
        predictions["n_audio_tokens"], bow.audio[:, indices(selection)].sum(axis=1)
    )
