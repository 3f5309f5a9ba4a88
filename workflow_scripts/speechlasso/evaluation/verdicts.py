"""Whether each arm is better than one of them, worse, practically equal, or cannot be told from it.

All of a row comes from one distribution: Student's t around the difference, with the standard error
of `statistics`. Over several folds that is the corrected resampled t-test (Nadeau and Bengio 2003,
section 3), and read as a posterior the Bayesian correlated t-test (Benavoli, Corani, Demsar and
Zaffalon 2017, "Time for a change", Journal of Machine Learning Research 18(77), section 4); over a
single fold it is that of the paired bootstrap. Holm (1979, "A simple sequentially rejective
multiple test procedure", Scandinavian Journal of Statistics 6) corrects for the number of arms.
docs/statistics.md says how often verdicts are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.cards import METRICS
from speechlasso.evaluation.seed_average import ensemble
from speechlasso.evaluation.statistics import CONFIDENCE, LEVEL, Estimate, Statistics
from speechlasso.evaluation.summary import sweep_families
from speechlasso.evaluation.verdict_sentences import sentence
from speechlasso.evaluation.words import counted

VERDICT_COLUMNS = [
    *("arm", "reference", "metric", "n", "n_seeds", "interval"),
    *("difference", "ci_low", "ci_high", "effect_size", "p_value", "p_holm"),
    *("p_worse", "p_equal", "p_better", "margin"),
    *("mcnemar_arm_alone", "mcnemar_reference_alone", "mcnemar_p", "verdict", "sentence"),
]
LEAST_UNITS = 3
"""Folds, or groups or rows of a single test part, below which nothing is tested."""
FEW_GROUPS = 10
"""Of a single test part: below it the width of an interval is itself unsure."""


def verdict_table(
    runs: pd.DataFrame,
    test_rows: Mapping[tuple[str, str, str], TestRows],
    reference: str,
    metric: str,
    margin: float,
) -> pd.DataFrame:
    """Each arm against one of them, a row per arm.

    Parameters
    ----------
    runs
        As `summary.runs_table` makes it, with the arms that validation chose.
    test_rows
        As `run_predictions.read_test_rows` returns them, for an experiment of a single fold; and
        always those of `seed_average.seeds_together`.
    reference
        The arm that others are compared with (`reference.reference_arm`).
    metric
        One of `cards.METRICS`.
    margin
        How far two arms may be apart, in the metric, and still be practically equal.

    Returns
    -------
    pandas.DataFrame
        With the columns `VERDICT_COLUMNS`. difference is arm minus reference, on the same rows,
        with its 95 % interval and as effect_size (`Estimate.effect_size`); p_value that of no
        difference, p_holm corrected for all arms of the table; p_worse, p_equal and p_better the
        probabilities that the arm is worse, at most `margin` away, better; mcnemar_arm_alone and
        mcnemar_reference_alone how many test rows of all folds one arm has right and the other has
        not, seeds averaged, and mcnemar_p the p value of McNemar's exact test on them, which takes
        rows for independent whoever speaks.
    """
    statistics = Statistics(runs, test_rows)
    arms = compared_arms(runs)
    if reference not in arms:
        reference = sweep_families(pd.Series([reference])).item()
    pairs = [_Pair(statistics, arm, reference, metric) for arm in arms if arm != reference]
    table = pd.DataFrame([pair.numbers(margin) for pair in pairs], columns=VERDICT_COLUMNS)
    table["p_holm"] = holm(table["p_value"].to_numpy(dtype=float))
    table["verdict"] = [
        verdict(pair.gain, row.p_holm, row.p_equal)
        for pair, row in zip(pairs, table.itertuples(), strict=True)
    ]
    table["sentence"] = [
        sentence(row, METRICS[metric], pair.evidence, pair.missing, pair.by_rows)
        for pair, row in zip(pairs, table.itertuples(), strict=True)
    ]
    return table


def compared_arms(runs: pd.DataFrame) -> list[str]:
    """The arms that get a verdict: one that sweeps a setting as the one that validation chose.

    Its single values are no comparisons of their own, whose number everyone pays for; nor are seeds
    that decide together.
    """
    arms = pd.Series(runs["arm"].unique())
    return arms[~sweep_families(arms).isin(arms)].tolist()


def p_value(difference: Any, error: Any, n_units: Any) -> Any:
    """Two-sided, by Student's t with n_units - 1 degrees of freedom."""
    from scipy import stats

    return 2 * stats.t.sf(np.abs(difference) / error, n_units - 1)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Corrected for how many there are, (n,); NaN stays what it is and counts for none."""
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: int((~np.isnan(p_values)).sum())]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def probabilities(gain: Any, error: Any, n_units: Any, margin: float) -> tuple[Any, Any, Any]:
    """Of being worse, practically equal and better, where a gain is a difference for the better.

    The posterior is Student's t around the gain with the same standard error as the test's.
    """
    from scipy import stats

    worse = stats.t.cdf((-margin - gain) / error, n_units - 1)
    better = stats.t.sf((margin - gain) / error, n_units - 1)
    return worse, 1 - worse - better, better


def mcnemar(one_alone: int, other_alone: int) -> float:
    """The p value of McNemar's exact test: of as many rows that only one or only the other has
    right (McNemar 1947, Psychometrika 12; its binomial form)."""
    from scipy import stats

    n = one_alone + other_alone
    return float(stats.binomtest(one_alone, n).pvalue) if n else 1.0


def verdict(gain: float, p_holm: float, p_equal: float) -> str:
    """In the words of verdicts.csv."""
    if np.isnan(p_holm):
        return "too little data"
    if p_holm < LEVEL:
        return "better" if gain > 0 else "worse"
    return "practically equal" if p_equal >= CONFIDENCE else "undecided"


@dataclass(frozen=True)
class _Pair:
    """An arm and the reference arm."""

    statistics: Statistics
    arm: str
    reference: str
    metric: str

    @cached_property
    def difference(self) -> Estimate:
        return self.statistics.difference(self.arm, self.reference, self.metric)

    @property
    def gain(self) -> float:
        sign = 1 if METRICS[self.metric].larger_is_better else -1
        return sign * self.difference.mean

    @cached_property
    def rows(self) -> list[tuple[TestRows, TestRows]]:
        """Of each fold that both have, what their averaged seeds predict."""
        names = [ensemble(arm, "averaged") for arm in (self.arm, self.reference)]
        of_arms = self.statistics.test_rows
        folds = [fold for arm, fold, _ in of_arms if arm == names[0]]
        keys = [[(name, fold, "all") for name in names] for fold in folds]
        return [(of_arms[one], of_arms[other]) for one, other in keys if other in of_arms]

    def numbers(self, margin: float) -> dict[str, Any]:
        """The row of the table, but for what depends on the other arms."""
        found, (lowest, highest) = self.difference, METRICS[self.metric].bounds
        widest = highest - lowest
        low, high = np.clip(found.interval, -widest, widest)
        right = [[_is_right(one) for one in pair] for pair in self.rows]
        alone = sum(int((one & ~other).sum()) for one, other in right)
        other_alone = sum(int((other & ~one).sum()) for one, other in right)
        numbers = {
            "arm": self.arm,
            "reference": self.reference,
            "metric": self.metric,
            "n": found.n,
            "n_seeds": self.statistics.n_seeds(self.arm),
            "interval": self.statistics.method(self.arm),
            "difference": found.mean,
            "ci_low": low,
            "ci_high": high,
            "effect_size": found.effect_size,
            "margin": margin,
            "mcnemar_arm_alone": alone,
            "mcnemar_reference_alone": other_alone,
        }
        return numbers if self.missing else numbers | self._tests(margin, alone, other_alone)

    def _tests(self, margin: float, alone: int, other_alone: int) -> dict[str, float]:
        found = self.difference
        chances = probabilities(self.gain, found.error, found.n_units, margin)
        return {
            "p_value": p_value(found.mean, found.error, found.n_units),
            **dict(zip(("p_worse", "p_equal", "p_better"), chances, strict=True)),
            "mcnemar_p": mcnemar(alone, other_alone),
        }

    @property
    def evidence(self) -> str:
        """What the difference was found on, for people."""
        n_seeds, n_folds = self.statistics.n_seeds(self.arm), self.difference.n
        seeds = counted(n_seeds, "seed")
        n_rows = sum(len(one.predictions) for one, _ in self.rows)
        if not self.statistics.is_one_fold:
            return f"{seeds}, {counted(n_folds, 'fold')} of {n_rows} test rows in all"
        n_units = self.difference.n_units
        groups = f" of {n_units} groups" if n_units < n_rows else ""
        return f"{seeds}, one test part of {n_rows} rows{groups}"

    @property
    def by_rows(self) -> tuple[float, float] | None:
        """The interval of the bootstrap over single rows, where a few groups have a narrower one.

        Four groups that happen to agree would make the reader surer than the rows can be.
        """
        found = self.difference
        if not (self.statistics.is_one_fold and LEAST_UNITS <= found.n_units < FEW_GROUPS):
            return None
        of_rows = self.statistics.over_rows.difference(self.arm, self.reference, self.metric)
        return of_rows.interval if of_rows.margin > found.margin else None

    @property
    def missing(self) -> str:
        """What is too little for a test, for people; empty where it is enough."""
        found, is_one_fold = self.difference, self.statistics.is_one_fold
        if not found.n:
            return "no fold has this score of both"
        if found.n_units < LEAST_UNITS:
            units = "groups or rows to test on" if is_one_fold else "folds"
            return f"{self.evidence}, where at least {LEAST_UNITS} {units} are needed"
        if np.isnan(found.error):
            same = "resample of the test part" if is_one_fold else "fold"
            return f"the difference is the same in every {same}; {self.evidence}"
        return ""


def _is_right(rows: TestRows) -> np.ndarray:
    """Of each row; rows of all arms are in the order of their ids."""
    return (rows.predictions["label"] == rows.predictions["predicted"]).to_numpy()
