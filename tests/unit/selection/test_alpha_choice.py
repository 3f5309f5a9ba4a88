"""Choosing alpha: cross-validation against plain loops, bisection against brute force."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score
from sklearn.model_selection import StratifiedKFold

from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.lasso.fit import fit_lasso, lasso_path, predict_probabilities
from speechlasso.selection.alpha_choice import alpha_for_n_tokens, best_alpha, cross_validate
from speechlasso.selection.bag_of_words import weighting
from speechlasso.selection.select import keep_important

N_AUDIO = 12
ALPHAS = [20.0, 8.0, 3.0, 1.0]
KEEP = partial(keep_important, n_audio_features=N_AUDIO, threshold="mean")
SCORES = {
    "macro_f1": lambda truth, predicted: f1_score(truth, predicted, average="macro"),
    "uar": lambda truth, predicted: recall_score(truth, predicted, average="macro"),
    "accuracy": lambda truth, predicted: np.mean(truth == predicted),
    "positive_f1": lambda truth, predicted: f1_score(truth == "y", predicted == "y"),
}


def signal(seed=0, n_rows=90):
    """Counts of 12 audio tokens and 3 words, some of which tell the class a little."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["x", "y", "z"], n_rows)
    counts = rng.poisson(1.0, (n_rows, N_AUDIO + 3))
    for feature, label in ((2, "x"), (7, "y"), (N_AUDIO, "z")):
        counts[:, feature] += rng.poisson(1.5, n_rows) * (labels == label)
    return sp.csr_array(counts), labels


def fit_path(counts, labels, alphas):
    weights = weighting().fit(counts)
    return weights, lasso_path(weights.transform(counts), labels, alphas)


def validate(counts, labels, alphas=ALPHAS, groups=None, **options):
    options = {
        **{"fit_path": fit_path, "keep": KEEP, "n_folds": 3, "seed": 1, "criterion": Criterion()},
        **options,
    }
    return cross_validate(counts, labels, groups, N_AUDIO, alphas, **options)


def table_of(alphas, means, errors=0.0):
    return pd.DataFrame({"alpha": alphas, "mean": means, "standard_error": errors})


def test_sizes_are_the_means_over_folds():
    counts, labels = signal()
    rows = {alpha: [] for alpha in ALPHAS}
    for inside, _ in StratifiedKFold(3, shuffle=True, random_state=1).split(labels, labels):
        _, fits = fit_path(counts[inside], labels[inside], ALPHAS)
        for fit in fits:
            weight = np.abs(fit.coef).sum(axis=0)
            audio, text = weight[:N_AUDIO], weight[N_AUDIO:]
            selected = (audio >= weight.mean()) & (audio > 0)
            rows[fit.alpha].append([selected.sum(), (audio > 0).sum(), (text > 0).sum()])
    table = validate(counts, labels)
    expected = [np.mean(rows[alpha], axis=0) for alpha in ALPHAS]
    np.testing.assert_allclose(table[["n_tokens", "n_audio", "n_text"]], expected)
    last = table.iloc[-1]
    assert last["n_audio"] > last["n_tokens"] > 0 < last["n_text"]


@pytest.mark.parametrize("metric", ["macro_f1", "uar", "accuracy", "positive_f1"])
def test_cross_validation_is_a_plain_loop_over_folds(metric):
    counts, labels = signal()
    table = validate(counts, labels, criterion=Criterion(metric=metric, positive_label="y"))
    folds = StratifiedKFold(3, shuffle=True, random_state=1).split(labels, labels)
    expected = {alpha: [] for alpha in ALPHAS}
    for inside, outside in folds:
        weights = weighting().fit(counts[inside])
        for alpha in ALPHAS:
            fit = fit_lasso(
                weights.transform(counts[inside]), labels[inside], alpha, tolerance=1e-7
            )
            probabilities = predict_probabilities(fit, weights.transform(counts[outside]))
            predicted, truth = fit.classes[probabilities.argmax(axis=1)], labels[outside]
            expected[alpha].append(SCORES[metric](truth, predicted))
    assert table["alpha"].tolist() == ALPHAS
    for row in table.itertuples():
        assert row.mean == pytest.approx(np.mean(expected[row.alpha]))
        assert row.sd == pytest.approx(np.std(expected[row.alpha], ddof=1))
        assert row.standard_error == pytest.approx(row.sd / np.sqrt(3))
    assert table["converged"].all()


def test_the_fit_of_a_fold_never_meets_its_held_out_rows():
    """By what `fit_path` is given, and by the result: their counts and labels can be anything."""
    counts, labels = signal()
    inside, outside = next(StratifiedKFold(3, shuffle=True, random_state=1).split(labels, labels))
    given = []

    def remember(counts, labels, alphas):
        given.append((counts.toarray(), labels))
        return fit_path(counts, labels, alphas)

    changed = counts.toarray()
    changed[outside] = 9
    first, other = (validate(c, labels, fit_path=remember) for c in (counts, sp.csr_array(changed)))
    for fold in (0, 3):
        np.testing.assert_array_equal(given[fold][0], counts.toarray()[inside])
        np.testing.assert_array_equal(given[fold][1], labels[inside])
    assert not first.equals(other)


def test_cross_validation_repeats_for_a_seed_whatever_the_order_of_the_grid():
    counts, labels = signal()
    first = validate(counts, labels)
    pd.testing.assert_frame_equal(first, validate(counts, labels, ALPHAS[::-1]), check_exact=True)
    assert not first.equals(validate(counts, labels, seed=2))


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_class_missing_from_a_fold_counts_as_an_error_not_as_another_class():
    counts, labels = signal(n_rows=60)
    # The class sorts first, so that all others shift where it is missing.
    labels = np.where(np.arange(60) == 0, "rare", labels)
    table = validate(counts, labels, [3.0], criterion=Criterion(metric="accuracy"))
    folds = StratifiedKFold(3, shuffle=True, random_state=1).split(labels, labels)
    expected = []
    for inside, outside in folds:
        weights = weighting().fit(counts[inside])
        fit = fit_lasso(weights.transform(counts[inside]), labels[inside], 3.0, tolerance=1e-7)
        probabilities = predict_probabilities(fit, weights.transform(counts[outside]))
        expected.append(np.mean(fit.classes[probabilities.argmax(axis=1)] == labels[outside]))
    assert table["mean"].tolist() == pytest.approx([np.mean(expected)])


def test_too_many_folds_are_an_error():
    counts, labels = signal(n_rows=20)
    with pytest.raises(InputError, match="50 folds, but no class has more than"):
        validate(counts, labels, n_folds=50)


def test_a_single_alpha_that_keeps_no_token():
    table = validate(*signal(), [1e6])
    assert table["n_tokens"].tolist() == [0]
    assert best_alpha(table, one_standard_error=True, criterion=Criterion()) == 1e6


def test_the_best_alpha_and_of_equal_ones_the_largest():
    table = table_of([1.0, 4.0, 2.0, 8.0], [0.5, 0.7, 0.7, 0.6], 0.15)
    assert best_alpha(table, one_standard_error=False, criterion=Criterion()) == 4.0
    assert best_alpha(table, one_standard_error=True, criterion=Criterion()) == 8.0


def test_one_standard_error_is_that_of_the_best():
    table = table_of([8.0, 4.0, 2.0, 1.0], [0.5, 0.69, 0.7, 0.7], [0.5, 0.0, 0.02, 0.9])
    assert best_alpha(table, one_standard_error=True, criterion=Criterion()) == 4.0, (
        "the best is 2.0, its error 0.02"
    )
    assert best_alpha(table, one_standard_error=False, criterion=Criterion()) == 2.0


def test_no_alpha_to_choose_from():
    with pytest.raises(InputError, match="no alpha of the path keeps an audio token"):
        best_alpha(table_of([], []), one_standard_error=False, criterion=Criterion())


grids = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 5), st.integers(0, 3)),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0],
)


@given(grids, st.booleans())
def test_the_best_alpha_is_that_of_a_plain_search(rows, one_standard_error):
    alphas, means, errors = map(list, zip(*rows, strict=True))
    best = max(rows, key=lambda row: (row[1], row[0]))
    good = [row[0] for row in rows if row[1] >= best[1] - best[2] * one_standard_error]
    table = table_of([float(a) for a in alphas], means, errors)
    expected = max(good) if one_standard_error else best[0]
    assert best_alpha(table, one_standard_error, Criterion()) == expected


@given(grids, st.booleans())
def test_of_losses_the_smallest_is_the_best(rows, one_standard_error):
    alphas, means, errors = map(list, zip(*rows, strict=True))
    table = table_of([float(a) for a in alphas], means, errors)
    negative = table.assign(mean=-table["mean"])
    loss = best_alpha(table, one_standard_error, Criterion(metric="loss"))
    assert loss == best_alpha(negative, one_standard_error, Criterion(metric="uar"))


def test_the_number_of_tokens_is_reached_on_a_real_path():
    counts, labels = signal()
    features = weighting().fit_transform(counts)

    def size_at(alpha):
        fit = fit_lasso(features, labels, alpha)
        return len(KEEP(fit.importance, fit.n_occurring))

    alphas = np.geomspace(50, 1, 4)
    table = pd.DataFrame({"alpha": alphas, "n_tokens": map(size_at, alphas)})

    for n_tokens in (1, 2, 3):
        alpha, size = alpha_for_n_tokens(table, n_tokens, size_at)
        assert size == n_tokens == size_at(alpha)


def test_an_alpha_of_the_path_needs_no_further_fit():
    table = pd.DataFrame({"alpha": [1.0, 2.0, 4.0, 8.0], "n_tokens": [9, 5, 5, 0]})

    def never(alpha):
        raise AssertionError(f"fitted again at {alpha}")

    assert alpha_for_n_tokens(table, 5, never) == (4.0, 5), "of equal sizes the larger alpha"
    assert alpha_for_n_tokens(table, 20, never) == (1.0, 9), "the path ends before"
    assert alpha_for_n_tokens(table.iloc[:1], 3, never) == (1.0, 9), "one alpha"


def test_where_several_tokens_enter_at_once_the_nearest_size_is_returned():
    table = pd.DataFrame({"alpha": [8.0, 1.0], "n_tokens": [0, 10]})
    calls = []

    def size_at(alpha):
        calls.append(alpha)
        return 10 if alpha < 3 else 2

    assert alpha_for_n_tokens(table, 4, size_at)[1] == 2
    alpha, size = alpha_for_n_tokens(table, 6, size_at)
    assert size == 2 and alpha >= 3, "equally near: the larger alpha"
    alpha, size = alpha_for_n_tokens(table, 9, size_at)
    assert size == 10 and 1 <= alpha < 3
    assert len(calls) < 60, "the bisection ends"


def test_where_sizes_rise_and_fall_the_nearest_pair_of_the_path_is_searched():
    table = pd.DataFrame({"alpha": [8.0, 4.0, 2.0, 1.0], "n_tokens": [0, 10, 3, 20]})
    tried = []

    def size_at(alpha):
        tried.append(alpha)
        return 4 if 3 < alpha < 4 else 3

    alpha, size = alpha_for_n_tokens(table, 4, size_at)
    assert size == 4 and 3 < alpha < 4
    assert all(2 < alpha < 4 for alpha in tried)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=30), st.integers(0, 40), st.integers(1, 6))
def test_any_size_that_a_falling_path_has_is_found(sizes, n_tokens, step):
    """A path of steps: sizes[i] tokens for alpha in [i + 1, i + 2), falling with alpha."""
    sizes = sorted(sizes, reverse=True)

    def size_at(alpha):
        return sizes[min(int(alpha) - 1, len(sizes) - 1)]

    # The smallest and the largest alpha belong to the path.
    grid = sorted({*range(1, len(sizes) + 1, step), len(sizes)})
    table = pd.DataFrame({"alpha": map(float, grid), "n_tokens": [size_at(a) for a in grid]})
    alpha, size = alpha_for_n_tokens(table, n_tokens, size_at)
    assert size == size_at(alpha)
    assert abs(size - n_tokens) == min(abs(other - n_tokens) for other in sizes)


def test_no_group_is_in_two_folds():
    counts, labels = signal()
    groups = np.arange(len(labels)) % 7
    # A column that tells the group, plus one so that zero shows.
    marked = sp.csr_array(sp.hstack([counts[:, :-1], groups[:, None] + 1.0]))
    seen = []

    def spy(fit_counts, fit_labels, alphas):
        seen.append(set(fit_counts[:, [-1]].toarray().ravel() - 1))
        return fit_path(fit_counts, fit_labels, alphas)

    validate(marked, labels, groups=groups, fit_path=spy)
    held_out = [set(groups) - fitted for fitted in seen]
    assert len(seen) == 3 and all(held_out)
    assert sorted(group for fold in held_out for group in fold) == list(range(7))


def test_fewer_groups_than_folds_is_an_error():
    counts, labels = signal()
    with pytest.raises(InputError, match="only 2 groups; choose fewer folds"):
        validate(counts, labels, groups=np.arange(len(labels)) % 2)
