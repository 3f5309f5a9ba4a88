"""Selections beside the lasso: ranked, stable, random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_selection import chi2
from sklearn.metrics import mutual_info_score
from small_bow import drawn, indices, make_bow

from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.select import select_ranked, select_stable
from speechlasso.selection.settings import RankedSelection, StabilitySelection


@pytest.mark.parametrize("method", ["chi_square", "mutual_information"])
def test_ranked_controls_find_the_telling_tokens_on_training_rows(method):
    bow = make_bow()
    selection = select_ranked(bow, RankedSelection(method=method), n_tokens=2)
    assert indices(selection) == [3, 15]
    shuffled = bow.rows.copy()
    outside = shuffled["split"] != "train"
    shuffled.loc[outside, "label"] = "x"
    other = BagOfWords(shuffled, bow.audio, bow.text, bow.features, bow.words)
    again = select_ranked(other, RankedSelection(method=method), n_tokens=2)
    assert again.to_json() == selection.to_json()


def test_ranked_controls_weigh_tokens_by_the_score_that_names_them():
    """Token 4 is where x is; of 6, which is everywhere, z has more; 8 is everywhere alike."""
    bow = make_bow()
    labels = bow.rows["label"].to_numpy()
    audio = bow.audio.toarray()
    audio[:, 4], audio[:, 6], audio[:, 8] = labels == "x", 1 + 5 * (labels == "z"), 9
    bow = replace(bow, audio=sp.csr_array(audio))
    expected = {
        "chi_square": chi2(audio[:100], labels[:100])[0],
        "mutual_information": [mutual_info_score(labels[:100], n > 0) for n in audio[:100].T],
        "most_frequent": audio[:100].sum(axis=0),
    }
    firsts = set()
    for method, scores in expected.items():
        selection = select_ranked(bow, RankedSelection(method=method), n_tokens=3)
        best = sorted(np.argsort(-np.asarray(scores), kind="stable")[:3])
        assert (selection.method, indices(selection)) == (method, best)
        weights = [token.weight for token in selection.tokens]
        np.testing.assert_allclose(weights, np.asarray(scores)[best])
        firsts.add(tuple(best))
    assert len(firsts) == 3, "the example is to tell the scores apart"


def test_the_most_frequent_tokens():
    bow = make_bow()
    selection = select_ranked(bow, RankedSelection(method="most_frequent"), n_tokens=4)
    totals = bow.audio[:100].sum(axis=0)
    assert set(indices(selection)) == set(np.argsort(-totals, kind="stable")[:4])


def test_stability_selection_finds_the_telling_tokens():
    settings = StabilitySelection(method="stability", alpha=2.0, n_subsamples=10)
    selection = select_stable(make_bow(), settings, n_tokens=2)
    assert indices(selection) == [3, 15]
    assert all(token.weight == 1.0 for token in selection.tokens)


def test_the_random_control_draws_anew_for_each_seed_and_never_twice_the_same_token():
    draws = [drawn(8, seed=seed) for seed in range(20)]
    assert all(len(set(draw)) == 8 for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 20
    assert draws[0] == drawn(8, seed=0)
    counts = np.bincount(np.concatenate([drawn(8, seed=seed) for seed in range(500)]), minlength=20)
    # Each of 20 tokens is expected 200 times, with a standard deviation of about 11.
    assert abs(counts - 200).max() < 50


def test_the_random_control_draws_anew_in_each_fold():
    draws = [drawn(8, seed=1, fold=str(fold)) for fold in range(10)]
    assert len({tuple(draw) for draw in draws}) == 10
    assert draws[3] == drawn(8, seed=1, fold="3")


def test_the_random_control_draws_from_the_layers_of_the_selection_it_copies():
    draws = [set(drawn(5, seed=seed, layers=[2])) for seed in range(40)]
    assert set().union(*draws) == set(range(10, 20))


@pytest.mark.parametrize("method", ["chi_square", "mutual_information", "most_frequent"])
def test_ranked_controls_choose_from_the_layers_of_the_selection_they_copy(method):
    settings = RankedSelection(method=method)
    everywhere = select_ranked(make_bow(), settings, 20)
    second = [token for token in everywhere.tokens if token.layer == 2]
    assert 2 < len(second) < len(everywhere.tokens)
    assert select_ranked(make_bow(), settings, 20, layers=[2]).tokens == second
