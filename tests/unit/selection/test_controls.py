"""Scores of the controls against scikit-learn and plain loops."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import chi2
from sklearn.metrics import mutual_info_score

from speechlasso.errors import InputError
from speechlasso.lasso.fit import fit_lasso
from speechlasso.selection.bag_of_words import weighting
from speechlasso.selection.controls import (
    chi_square,
    document_frequency,
    documents_per_class,
    mutual_information,
    stability,
    term_frequency,
    top_k,
)
from speechlasso.selection.select import keep_important

N_AUDIO = 12


@st.composite
def counted_rows(draw):
    shape = (draw(st.integers(2, 15)), draw(st.integers(1, 6)))
    counts = draw(arrays(np.int32, shape, elements=st.integers(0, 3)))
    return counts, draw(arrays(np.int64, shape[0], elements=st.integers(0, 2)))


def signal(seed=0, n_rows=90):
    """Counts of 12 audio tokens and 3 words: tokens 2 and 7 tell the class, and so does word 0."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["x", "y", "z"], n_rows)
    counts = rng.poisson(1.0, (n_rows, N_AUDIO + 3))
    counts[:, 2] += 3 * (labels == "x")
    counts[:, 7] += 3 * (labels == "y")
    counts[:, N_AUDIO] += 3 * (labels == "z")
    return sp.csr_array(counts), labels


def keep_as(threshold, top_k=None):
    return partial(keep_important, n_audio_features=N_AUDIO, threshold=threshold, top_k=top_k)


def fit_weighted(counts, labels, alpha):
    return fit_lasso(weighting().fit_transform(counts), labels, alpha)


def stability_of(counts, labels, alpha=2.0, n_subsamples=20, seed=1, keep=None):
    keep = keep or keep_as("nonzero")
    options = {"fit": fit_weighted, "keep": keep, "n_subsamples": n_subsamples, "seed": seed}
    return stability(counts, labels, N_AUDIO, alpha, **options)


@given(counted_rows())
def test_mutual_information_is_scikit_learns(rows):
    counts, labels = rows
    expected = [mutual_info_score(labels, column > 0) for column in counts.T]
    np.testing.assert_allclose(
        mutual_information(sp.csr_array(counts), labels), expected, atol=1e-12
    )


def test_mutual_information_of_an_independent_token_is_exactly_zero():
    labels = np.repeat([0, 1, 2], [3, 6, 9])
    token = np.concatenate([np.arange(n) % 3 == 0 for n in (3, 6, 9)])  # a third of each class
    counts = sp.csr_array(np.stack([token, labels == 0, np.ones(18), np.zeros(18)], axis=1))
    scores = mutual_information(counts, labels)
    assert scores[[0, 2, 3]].tolist() == [0, 0, 0]
    assert scores[1] > 0
    assert top_k(scores, 4).tolist() == [1]


@given(counted_rows())
@pytest.mark.filterwarnings("ignore:invalid value")
def test_chi_square_is_scikit_learns_and_zero_where_nothing_occurs(rows):
    counts, labels = rows
    scores = chi_square(sp.csr_array(counts), labels)
    assert np.isfinite(scores).all()
    used = counts.any(axis=0)
    assert (scores[~used] == 0).all()
    if len(np.unique(labels)) > 1:
        np.testing.assert_allclose(scores[used], chi2(counts, labels)[0][used])


def test_chi_square_by_hand():
    counts = sp.csr_array(np.array([[4], [2], [0], [0]]))
    # Expected 3 in each class, observed 6 and 0: 9 / 3 + 9 / 3.
    assert chi_square(counts, np.array(["a", "a", "b", "b"])).tolist() == [6.0]


@given(counted_rows())
def test_frequencies_are_those_of_a_plain_count(rows):
    counts, labels = rows
    sparse = sp.csr_array(counts)
    np.testing.assert_array_equal(term_frequency(sparse), counts.sum(axis=0))
    np.testing.assert_allclose(document_frequency(sparse), (counts > 0).mean(axis=0))
    expected = [(counts[labels == label] > 0).sum(axis=0) for label in np.unique(labels)]
    found = documents_per_class(sparse, labels)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == term_frequency(sparse).dtype == np.int64


def test_zeros_that_are_stored_are_no_occurrences():
    counts = sp.csr_array(np.array([[1, 2], [3, 4]]))
    counts.data[0] = 0
    assert document_frequency(counts).tolist() == [0.5, 1.0]


@given(arrays(np.float64, st.integers(0, 12), elements=st.sampled_from([0, 1, 2, 3])))
def test_top_k_keeps_the_largest_and_of_ties_the_lower_index(scores):
    for k in range(len(scores) + 2):
        ordered = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
        expected = sorted(index for index in ordered[:k] if scores[index] > 0)
        assert top_k(scores, k).tolist() == expected


@pytest.mark.parametrize("score", [chi_square, mutual_information])
def test_scores_find_the_tokens_that_tell_the_class(score):
    counts, labels = signal()
    assert top_k(score(counts[:, :N_AUDIO], labels), 2).tolist() == [2, 7]


def test_stability_is_high_for_signal_and_low_for_noise():
    probabilities = stability_of(*signal(), alpha=6.0)
    assert probabilities.shape == (N_AUDIO,)
    assert probabilities[[2, 7]].tolist() == [1.0, 1.0]
    assert np.delete(probabilities, [2, 7]).max() < 0.7


def test_stability_is_the_share_of_the_half_samples():
    """Against one half-sample at a time: whole multiples of 1/n, every class halved."""
    counts, labels = signal()
    seen = []

    def keep(importance, n_occurring):
        assert n_occurring == N_AUDIO + 3
        seen.append(importance)
        return np.flatnonzero(importance[:N_AUDIO])

    probabilities = stability_of(counts, labels, n_subsamples=3, keep=keep)
    rng = np.random.default_rng(1)
    for importance in seen:
        halves = [np.flatnonzero(labels == label) for label in "xyz"]
        halves = [rng.choice(rows, -(-len(rows) // 2), replace=False) for rows in halves]
        rows = np.sort(np.concatenate(halves))
        fit = fit_lasso(weighting().fit_transform(counts[rows]), labels[rows], 2.0)
        np.testing.assert_array_equal(importance, fit.importance)
    selected = [np.flatnonzero(importance[:N_AUDIO]) for importance in seen]
    expected = np.bincount(np.concatenate(selected), minlength=N_AUDIO) / 3
    np.testing.assert_array_equal(probabilities, expected)


def test_stability_repeats_for_a_seed_and_differs_between_seeds():
    counts, labels = signal()
    first, again, other = (stability_of(counts, labels, seed=seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_stability_follows_the_rule_of_selection():
    counts, labels = signal()
    probabilities = stability_of(counts, labels, keep=keep_as("top_k", top_k=2))
    assert probabilities.sum() == pytest.approx(2.0)


def test_stability_keeps_a_class_of_one_row():
    counts, labels = signal()
    labels = np.where(np.arange(len(labels)) == 0, "rare", labels)
    classes = []

    def fit(counts, labels, alpha):
        classes.append(np.unique(labels).tolist())
        return fit_weighted(counts, labels, alpha)

    stability(counts, labels, N_AUDIO, 2.0, fit=fit, keep=keep_as("mean"), n_subsamples=3, seed=1)
    assert classes == [["rare", "x", "y", "z"]] * 3


def test_stability_where_nothing_is_selected_and_where_there_is_one_class():
    counts, labels = signal()
    assert not stability_of(counts, labels, alpha=1e6, n_subsamples=2).any()
    with pytest.raises(InputError, match="two classes"):
        stability_of(counts, np.full(len(labels), "x"), n_subsamples=2)
