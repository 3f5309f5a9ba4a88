"""The bootstrap over a test part: how a score moves when other test rows are drawn.

What belongs together is drawn together: all rows of a group (speaker) where groups are known, else
single rows. Most of the project's own scores follow from how many rows of each class there are, are
predicted and are right, from the summed loss and the like; sums of units make those of a resample,
so all resamples are one product of matrices. Those of ranks sort the rows once for all resamples.
Other metrics are computed from the rows of each resample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from speechlasso.evaluation.ranking import ranking_scores
from speechlasso.evaluation.scores import (
    N_BINS,
    calibration_gaps,
    classes_of,
    positive_index,
    ranked_by,
    score_of_rows,
    scored_rows,
    scores_of_sums,
)

N_RESAMPLES = 2000
SEED = 0
# Numbers in one piece of the resamples' weights: 80 MB.
PIECE = 10_000_000


@dataclass(frozen=True)
class TestRows:
    """One run's predictions of its test rows, ordered by id so that runs can be paired.

    `predictions` has columns id, label, predicted, p_<class> and cut, as
    `scores.predictions_frame` makes them; `groups`, (n_rows,), is None where none are known.
    """

    __test__ = False  # for pytest, which takes it for a test

    predictions: pd.DataFrame
    groups: np.ndarray | None
    positive_label: str | None

    @property
    def units(self) -> np.ndarray:
        """Number of the unit of each row, int (n_rows,): its group where there are several."""
        if self.groups is not None:
            names, units = np.unique(self.groups.astype(str), return_inverse=True)
            if len(names) > 1:
                return units
        return np.arange(len(self.predictions))

    @property
    def description(self) -> str:
        """What is drawn, for people."""
        n_rows, n_units = len(self.predictions), self.units.max() + 1
        if n_units < n_rows:
            return f"{n_units} groups, {n_rows} rows"
        return f"{n_rows} rows" + (" of one group" if self._is_one_group else "")

    @property
    def _is_one_group(self) -> bool:
        return self.groups is not None and len(set(self.groups)) == 1


def resampled_scores(runs: Sequence[TestRows]) -> dict[str, np.ndarray]:
    """Scores on resamples of a test part, means over runs that were tested on it.

    The draws are the same in every call for equally many units, so scores of different arms on the
    same rows are paired.

    Parameters
    ----------
    runs
        Runs that differ in their seed.

    Returns
    -------
    dict
        Score -> (N_RESAMPLES,); those that `scores_of_sums` makes.
    """
    units = runs[0].units
    sums = [_sums_by_unit(run, units) for run in runs]
    widths = np.cumsum([each.shape[1] for each in sums])[:-1]
    stacked = np.hstack(sums)
    pieces = [weights @ stacked for weights in resample_weights(len(stacked))]
    by_run = np.split(np.concatenate(pieces), widths, axis=1)
    scores = [
        scores_of_sums(resampled, _positive(run))
        for run, resampled in zip(runs, by_run, strict=True)
    ]
    return {name: np.mean([of_run[name] for of_run in scores], axis=0) for name in scores[0]}


def resampled_rankings(runs: Sequence[TestRows]) -> dict[str, np.ndarray]:
    """As `resampled_scores`, those that `ranking_scores` makes; none without a positive class.

    NaN where a resample lacks positive rows, or for roc_auc others.
    """
    if runs[0].positive_label is None:
        return {}
    units = runs[0].units
    ranked = [ranked_by(scored_rows(run.predictions, run.positive_label)) for run in runs]
    size = max(1, PIECE // len(units))
    pieces = []
    for weights in resample_weights(units.max() + 1):
        for begin in range(0, len(weights), size):
            of_rows = weights[begin : begin + size][:, units]
            of_runs = [pd.DataFrame(ranking_scores(*of_run, of_rows)) for of_run in ranked]
            pieces.append(sum(of_runs) / len(runs))
    return {name: values.to_numpy() for name, values in pd.concat(pieces).items()}


def resampled_from_rows(runs: Sequence[TestRows], metric: str) -> np.ndarray:
    """As `resampled_scores`, of a metric that is computed from rows, on the same draws.

    Returns
    -------
    numpy.ndarray
        (N_RESAMPLES,); NaN where the metric is not defined.
    """
    units = runs[0].units
    rows = [scored_rows(run.predictions, run.positive_label) for run in runs]
    scores = []
    for weights in resample_weights(units.max() + 1):
        for times in weights.astype(int):
            drawn = np.repeat(np.arange(len(units)), times[units])
            scores.append(np.mean([score_of_rows(of_run.take(drawn), metric) for of_run in rows]))
    return np.array(scores)


def resample_weights(n_units: int) -> Iterable[np.ndarray]:
    """How often each unit is drawn in each resample, float (some resamples, n_units), in pieces
    that together are `N_RESAMPLES`."""
    if n_units * N_RESAMPLES > PIECE:
        return _drawn(n_units, N_RESAMPLES, max(1, PIECE // n_units))
    return _kept(n_units, N_RESAMPLES)


@lru_cache(maxsize=1)
def _kept(n_units: int, n_resamples: int) -> tuple[np.ndarray, ...]:
    """All arms of an experiment ask for the same."""
    return tuple(_drawn(n_units, n_resamples, n_resamples))


def _drawn(n_units: int, n_resamples: int, size: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(SEED)
    for begin in range(0, n_resamples, size):
        n = min(size, n_resamples - begin)
        drawn = rng.integers(n_units, size=(n, n_units)) + n_units * np.arange(n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n * n_units)
        yield counts.reshape(n, n_units).astype(np.float64)


def score_sums(run: TestRows) -> np.ndarray:
    """What `scores_of_sums` sums up, of each row: float (n_rows, 3 * n_classes + N_BINS + 2).

    Of each class: whether the row has it, is predicted to have it, and both; the row's gap, in the
    column of its bin; its loss (nats) and whether it was cut.
    """
    rows = scored_rows(run.predictions, run.positive_label)
    one_hot = np.eye(len(rows.classes), dtype=bool)
    labels, predicted = one_hot[rows.labels], one_hot[rows.predicted]
    bins, gaps = calibration_gaps(rows)
    likelihood = np.maximum(rows.probabilities[labels], np.finfo(np.float64).tiny)
    cut = run.predictions["cut"].to_numpy(dtype=float)
    by_bin = np.eye(N_BINS)[bins] * gaps[:, None]
    return np.column_stack(
        [labels, predicted, labels & predicted, by_bin, -np.log(likelihood), cut]
    )


def _sums_by_unit(run: TestRows, units: np.ndarray) -> np.ndarray:
    of_rows = score_sums(run)
    sums = np.zeros((units.max() + 1, of_rows.shape[1]))
    np.add.at(sums, units, of_rows)
    return sums


def _positive(run: TestRows) -> int | None:
    return positive_index(classes_of(run.predictions), run.positive_label)
