"""The same arm in several experiments, compared on the same test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from speechlasso.evaluation.cards import METRICS
from speechlasso.evaluation.finished import Finished
from speechlasso.evaluation.seed_average import seeds_together
from speechlasso.evaluation.statistics import Statistics
from speechlasso.evaluation.summary import with_chosen
from speechlasso.evaluation.verdicts import (
    LEAST_UNITS,
    VERDICT_COLUMNS,
    compared_arms,
    holm,
    p_value,
    probabilities,
    verdict,
    verdict_table,
)
from speechlasso.evaluation.words import counted

PAIR_COLUMNS = [
    *("arm", "experiment", "n", "difference", "difference_margin", "interval"),
    *("p_holm", "p_equal", "verdict"),
]


def verdicts_on(experiment: Finished, metric: str, reference: str) -> pd.DataFrame:
    """Verdicts on its own arms, of any score and against any of them.

    Those of verdicts.csv where it has them. Others are made anew from predictions of all runs.

    Returns
    -------
    pandas.DataFrame
        As `verdicts.verdict_table` makes it; without rows where no index tells of predictions, or
        the reference arm is one that gets no verdict itself.

    Raises
    ------
    InputError
        If predictions are not there any more, or nothing tells where.
    """
    written = experiment.verdicts
    if written is not None:
        written = written[(written["metric"] == metric) & (written["reference"] == reference)]
        if len(written):
            return written
    runs = experiment.runs
    own = runs[runs["arm"].isin(experiment.own_arms)]
    if not experiment.has_index or reference not in compared_arms(own):
        return pd.DataFrame(columns=VERDICT_COLUMNS)
    experiment.require_predictions()
    chosen = own[own["chosen"].fillna("") != ""] if "chosen" in own else own.iloc[:0]
    index = with_chosen(experiment.index, chosen) if len(chosen) else experiment.index
    _, of_seeds = seeds_together(index, experiment.root)
    rows = experiment.rows | of_seeds
    return verdict_table(own, rows, reference, metric, experiment.margin)


def why_unpaired(one: Finished, other: Finished) -> str | None:
    """Why scores of two experiments are not of the same test rows, in plain words; None if they
    are: the same folds test the same ids, of the same classes."""
    if set(one.folds) != set(other.folds):
        return " and ".join(f"{each.name} has {_folds(each.folds)}" for each in (one, other))
    of_one, of_other = one.ids_and_labels(), other.ids_and_labels()
    for fold, labels in of_one.items():
        others = of_other[fold]
        alone = [len(labels.index.difference(others.index))]
        alone.append(len(others.index.difference(labels.index)))
        if any(alone):
            return (
                f"in fold {fold} they test other rows: {alone[0]} ids are in {one.name} alone, "
                f"{alone[1]} in {other.name} alone"
            )
        if (n := int((labels != others.loc[labels.index]).sum())) > 0:
            return f"in fold {fold} {n} of {len(labels)} rows have another class"
    return None


def pair_table(first: Finished, others: Sequence[Finished], metric: str) -> pd.DataFrame:
    """Each arm of other experiments against the same arm in the first one, on the same test rows.

    Returns
    -------
    pandas.DataFrame
        With the columns `PAIR_COLUMNS`, a row per arm of each other experiment that the first has
        as well: difference, other minus first, half its 95 % interval and how that is made; p_holm,
        corrected for all rows; p_equal, the probability that they are at most the margin of the
        first experiment's verdicts apart; and what follows (`verdicts.verdict`).
    """
    sign = 1 if METRICS[metric].larger_is_better else -1
    rows = []
    for other in others:
        statistics, names = _paired(first, other)
        for arm, (of_first, of_other) in names.items():
            found = statistics.difference(of_other, of_first, metric)
            row = [arm, other.name, found.n, found.mean, found.margin, statistics.method(of_other)]
            tests = [np.nan, np.nan]
            if found.n_units >= LEAST_UNITS and not np.isnan(found.error):
                gain, *spread = sign * found.mean, found.error, found.n_units
                p_equal = probabilities(gain, *spread, first.margin)[1]
                tests = [p_value(found.mean, *spread), p_equal]
            rows.append([*row, *tests, ""])
    table = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    table["p_holm"] = holm(table["p_holm"].to_numpy(dtype=float))
    table["verdict"] = [
        # As when an arm has nothing of what differs.
        "the same"
        if row.difference == 0 and np.isnan(row.difference_margin)
        else verdict(sign * row.difference, row.p_holm, row.p_equal)
        for row in table.itertuples()
    ]
    return table


def _paired(one: Finished, other: Finished) -> tuple[Statistics, dict[str, tuple[str, str]]]:
    """Statistics of the arms of both experiments under new names; and of each arm that both have,
    its new name in `one` and in `other`."""
    runs, rows = [], {}
    for each in (one, other):
        runs.append(each.runs.assign(arm=[_named(each, arm) for arm in each.runs["arm"]]))
        if "chosen" in each.runs:
            chosen = [arm and _named(each, arm) for arm in each.runs["chosen"].fillna("")]
            runs[-1]["chosen"] = chosen
        rows |= {(_named(each, arm), *key): found for (arm, *key), found in each.rows.items()}
    both = [arm for arm in one.arms if arm in other.arms]
    names = {arm: (_named(one, arm), _named(other, arm)) for arm in both}
    return Statistics(pd.concat(runs, ignore_index=True), rows), names


def _named(experiment: Finished, arm: str) -> str:
    return f"{experiment.path}: {arm}"


def _folds(folds: Sequence[str]) -> str:
    shown = ", ".join(folds[:5]) + (", ..." if len(folds) > 5 else "")
    return f"{counted(len(folds), 'fold')} ({shown})"
