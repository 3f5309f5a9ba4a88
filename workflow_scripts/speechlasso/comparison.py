"""Compare arms of an experiment within its folds.

Arms meet the same test rows in a fold, some of them harder than others, so the difference between
two arms is far better known than either score. Seeds of a fold share its rows: they are averaged
first, lest they pass for folds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation import METRICS
from speechlasso.summary import mean_and_interval

COLUMNS = ["arm", "n", "validation", "test", "test_margin", "difference", "difference_margin"]


def unit(runs: pd.DataFrame) -> str:
    """What is counted: folds, or the seeds of an experiment that has one fold."""
    return "fold" if runs["fold"].nunique() > 1 else "seed"


def compare_arms(runs: pd.DataFrame, reference: str, metric: str) -> pd.DataFrame:
    """Scores of every arm, and their differences to those of one of them.

    Parameters
    ----------
    runs
        As `summary.runs_table` makes it.
    reference
        The arm that the others are compared with.
    metric
        One of `evaluation.METRICS`.

    Returns
    -------
    pandas.DataFrame
        A row per arm: `n` units (see `unit`), the mean score on validation and on test rows, and
        on test rows the mean difference to the reference over the units that both have; margins are
        half the width of 95 % t-intervals, empty for a single unit.

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
    scores = runs.groupby(["split", "arm", unit(runs)])[metric].mean()
    rows = []
    for arm in arms:
        test = scores["test"][arm]
        difference = (test - scores["test"][reference]).dropna()
        of_test, of_difference = map(_mean_and_margin, (test, difference))
        if arm == reference:
            of_difference = (np.nan, np.nan)
        validation = scores["validation"][arm].mean()
        rows.append([arm, len(test), validation, *of_test, *of_difference])
    return pd.DataFrame(rows, columns=COLUMNS)


def _mean_and_margin(scores: pd.Series) -> tuple[float, float]:
    if scores.empty:
        return np.nan, np.nan
    mean, _, _, _, high = mean_and_interval(scores.to_numpy())
    return mean, high - mean
