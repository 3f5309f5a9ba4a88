"""Choosing alpha on a path of lasso fits: by cross-validation, or by the number of tokens kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from tqdm import tqdm

from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.lasso.fit import LassoFit, predict_probabilities

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Keep = Callable[[np.ndarray, int], np.ndarray]
"""From the importance of all features, (n_features,), and the number of those that occur to the
indices of the selected audio features, as `selection.keep_important`."""

FitPath = Callable[[sp.csr_array, np.ndarray, Sequence[float]], tuple["Pipeline", list[LassoFit]]]
"""From the counts and labels of some rows and the alphas to the weighting that these rows teach and
the lasso fitted to the weighted rows at each alpha."""

# Relative width at which a bisection gives up: the selection then changes by more than one token
# at one alpha.
_TINY_INTERVAL = 1e-4


def cross_validate(
    counts: sp.csr_array,
    labels: np.ndarray,
    groups: np.ndarray | None,
    n_audio_features: int,
    alphas: Sequence[float],
    *,
    fit_path: FitPath,
    keep: Keep,
    n_folds: int,
    seed: int,
    criterion: Criterion,
) -> pd.DataFrame:
    """Score each alpha on stratified folds of the given rows, no group in two folds.

    `fit_path` is given the rows of the other folds alone; what it learns scores those of the fold.

    Parameters
    ----------
    counts
        Training rows, audio features first, (n_rows, n_features).
    groups
        Group of each row, (n_rows,); None: rows are divided one by one.
    alphas
        The grid, in any order.
    n_folds
        Number of folds; a class with fewer rows is missing from some of them. At least 2.
    criterion
        The score.

    Returns
    -------
    pandas.DataFrame
        alpha (descending); mean, sd and standard_error of the metric over folds; the means over
        folds of n_tokens (selected audio tokens), n_audio and n_text (features with any weight);
        converged, in all folds.

    Raises
    ------
    InputError
        When no class has a row for each fold, or there are fewer groups than folds.
    """
    labels = np.asarray(labels)
    classes, n_of_class = np.unique(labels, return_counts=True)
    if n_of_class.max() < n_folds:
        raise InputError(
            f"cross-validation of alpha: {n_folds} folds, but no class has more than "
            f"{n_of_class.max()} training rows; choose fewer folds"
        )
    folds = _folds(labels, groups, n_folds, seed)
    tables = []
    for fit_rows, held_out in tqdm(folds, total=n_folds, desc="choosing alpha", unit="fold"):
        weighting, fits = fit_path(counts[fit_rows], labels[fit_rows], alphas)
        unseen = weighting.transform(counts[held_out])
        truth = np.searchsorted(classes, labels[held_out])
        scores = [
            criterion.score(truth, _over_all_classes(fit, unseen, classes), classes) for fit in fits
        ]
        tables.append(_sizes(fits, n_audio_features, keep).assign(score=scores))
    return _mean_over_folds(pd.concat(tables))


def _folds(
    labels: np.ndarray, groups: np.ndarray | None, n_folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        return StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(labels, labels)
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InputError(
            f"cross-validation of alpha: {n_folds} folds, but the training rows have only "
            f"{n_groups} groups; choose fewer folds"
        )
    divider = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return divider.split(labels, labels, groups)


def best_alpha(table: pd.DataFrame, one_standard_error: bool, criterion: Criterion) -> float:
    """The alpha with the best mean score; of equal ones the largest.

    Parameters
    ----------
    table
        As `cross_validate` makes it, with all rows or some.
    one_standard_error
        Take instead the largest alpha whose mean is worse than the best by at most one standard
        error of the best: the fewest tokens that the folds cannot tell from the best (Hastie,
        Tibshirani & Friedman, The elements of statistical learning, section 7.10).
    criterion
        The score, which says whether a small or a large mean is good.

    Raises
    ------
    InputError
        When the table has no row.
    """
    if table.empty:
        raise InputError("alpha: cv: no alpha of the path keeps an audio token")
    table = table.sort_values("alpha", ascending=False, ignore_index=True)
    utility = criterion.utility(table["mean"])
    best = utility.idxmax()  # the first of equal ones
    if not one_standard_error:
        return float(table.loc[best, "alpha"])
    good = utility >= utility[best] - table.loc[best, "standard_error"]
    return float(table.loc[good, "alpha"].max())


def alpha_for_n_tokens(
    table: pd.DataFrame, n_tokens: int, size_at: Callable[[float], int]
) -> tuple[float, int]:
    """The alpha whose selection has as nearly as possible `n_tokens` tokens.

    The nearest alpha of the path is refined by bisection between two neighbours of the path, one
    with more and one with fewer tokens. Of equally near alphas the largest tried is taken.

    Parameters
    ----------
    table
        Columns alpha and n_tokens, the number of tokens selected there.
    size_at
        Number of tokens selected at an alpha that is not in the table.

    Returns
    -------
    alpha
        The alpha found.
    size
        Number of tokens selected there: the nearest to `n_tokens` that was met. It differs from it
        where the path ends before, or where several tokens enter at one alpha.
    """
    tried = dict(zip(table["alpha"].tolist(), table["n_tokens"].tolist(), strict=True))

    def distance(alpha: float) -> tuple[int, float]:
        return abs(tried[alpha] - n_tokens), -alpha

    grid = sorted(tried, reverse=True)
    crossings = [
        pair
        for pair in zip(grid, grid[1:], strict=False)
        if (tried[pair[0]] < n_tokens) != (tried[pair[1]] < n_tokens)
    ]
    nearest = min(grid, key=distance)
    if crossings and tried[nearest] != n_tokens:
        larger, smaller = min(crossings, key=lambda pair: min(map(distance, pair)))
        while tried[nearest] != n_tokens and larger / smaller > 1 + _TINY_INTERVAL:
            middle = float(np.sqrt(larger * smaller))
            tried[middle] = size_at(middle)
            nearest = min(nearest, middle, key=distance)
            if (tried[middle] < n_tokens) == (tried[larger] < n_tokens):
                larger = middle
            else:
                smaller = middle
    return nearest, tried[nearest]


def _sizes(fits: Sequence[LassoFit], n_audio_features: int, keep: Keep) -> pd.DataFrame:
    rows = [
        {
            "alpha": fit.alpha,
            "n_tokens": len(keep(fit.importance, fit.n_occurring)),
            "n_audio": np.count_nonzero(fit.importance[:n_audio_features]),
            "n_text": np.count_nonzero(fit.importance[n_audio_features:]),
            "converged": fit.converged,
        }
        for fit in fits
    ]
    return pd.DataFrame(rows)


def _over_all_classes(fit: LassoFit, features: sp.csr_array, classes: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, 0 for those that were missing from the fit's rows."""
    probabilities = np.zeros((features.shape[0], len(classes)))
    known = np.searchsorted(classes, fit.classes)
    probabilities[:, known] = predict_probabilities(fit, features)
    return probabilities


def _mean_over_folds(table: pd.DataFrame) -> pd.DataFrame:
    by_alpha = table.groupby("alpha")
    result = by_alpha["score"].agg(["mean", "std", "sem"])
    result = result.rename(columns={"std": "sd", "sem": "standard_error"})
    result = result.join(by_alpha[["n_tokens", "n_audio", "n_text"]].mean()).join(
        by_alpha["converged"].all()
    )
    return result.sort_index(ascending=False).reset_index()
