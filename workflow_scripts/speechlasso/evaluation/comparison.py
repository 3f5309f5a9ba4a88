"""Compare arms of an experiment on the same test rows.

Arms meet the same test rows in a fold, some of them harder than others, so the difference between
two arms is far better known than either score.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.cards import METRICS
from speechlasso.evaluation.statistics import Statistics

COLUMNS = [
    *("arm", "n", "validation", "test", "test_low", "test_high", "seed_sd"),
    *("difference", "difference_margin", "interval"),
]


def compare_arms(
    runs: pd.DataFrame,
    reference: str,
    metric: str,
    test_rows: Mapping[tuple[str, str, str], TestRows] | None = None,
) -> pd.DataFrame:
    """Scores of every arm, and their differences to those of one of them.

    Parameters
    ----------
    runs
        As `summary.runs_table` makes it.
    reference
        The arm that the others are compared with.
    metric
        One of `cards.METRICS`.
    test_rows
        As `run_predictions.read_test_rows` returns them, for an experiment of a single fold.

    Returns
    -------
    pandas.DataFrame
        A row per arm: `n` folds, the mean score on validation and on test rows, the ends of the
        95 % interval of the latter, seed_sd (the spread over seeds of a fold), and on test rows the
        mean difference to the reference over the folds that both have, with half of its interval;
        `interval` says how they are made.

    Raises
    ------
    InputError
        If there is no such arm, or its runs have no such score.
    """
    arms = list(dict.fromkeys(runs["arm"]))
    if reference not in arms:
        raise InputError(f"there is no arm {reference!r}; the arms are {', '.join(arms)}")
    if metric not in METRICS or runs[metric].isna().all():
        known = ", ".join(name for name in METRICS if name in runs and runs[name].notna().any())
        raise InputError(f"the runs have no score {metric!r}; they have {known}")
    statistics = Statistics(runs, test_rows or {})
    validation = runs[runs["split"] == "validation"].groupby(["arm", "fold"])[metric].mean()
    validation = validation.groupby("arm").mean()
    rows = []
    for arm in arms:
        test = statistics.score(arm, metric)
        of_difference = (np.nan, np.nan)
        if arm != reference:
            difference = statistics.difference(arm, reference, metric)
            of_difference = difference.mean, difference.margin
        of_test = test.mean, *test.interval, statistics.seed_sd(arm, metric)
        rows.append(
            [arm, test.n, validation[arm], *of_test, *of_difference, statistics.method(arm)]
        )
    return pd.DataFrame(rows, columns=COLUMNS)
