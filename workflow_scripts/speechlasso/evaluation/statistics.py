"""How sure a mean test score is, and a difference between two arms.

The unit is the fold: seeds of a fold are averaged first, since they share its rows and, in arms
that draw nothing, are copies of each other. Folds of one corpus share training rows, so their
scores are not independent either: over several folds the variance of the mean is corrected as
Nadeau and Bengio (2003, "Inference for the generalization error", Machine Learning 52, section 3,
the corrected resampled t) propose. Over a single fold test rows are resampled (`bootstrap`), by
whole groups where they are known, the same ones for every arm. docs/statistics.md has the coverage
of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from speechlasso.evaluation.bootstrap import (
    TestRows,
    resampled_from_rows,
    resampled_rankings,
    resampled_scores,
)
from speechlasso.evaluation.cards import METRICS

LEVEL = 0.05
"""Below it a p value tells two arms apart."""
CONFIDENCE = 1 - LEVEL
# Scores that differ by less differ by rounding alone.
_ROUNDING = 1e-12


def fold_error(scores: np.ndarray, test_to_train: float) -> float:
    """The standard error of a mean over folds, corrected for the training rows that they share.

    Parameters
    ----------
    scores
        Of each fold, or differences, (n_folds,); NaN comes back for fewer than two.
    test_to_train
        Test rows of a fold, divided by its training rows. Validation rows are neither: they choose,
        but no weight learns from them, which makes the interval wider than if they counted as
        training rows.
    """
    n = len(scores)
    if n < 2:
        return np.nan
    return float(np.std(scores, ddof=1)) * np.sqrt(1 / n + test_to_train)


def bootstrap_error(resampled: np.ndarray, n_units: int) -> float:
    """The standard error of a score by a bootstrap.

    With few units the distribution of resampled scores is too narrow by sqrt(1 - 1 / n_units), and
    its quantiles know nothing of how uncertain that width is; Student's t with n_units - 1 degrees
    of freedom does (Hesterberg 2015, "What teachers should know about the bootstrap", The American
    Statistician 69, sections 3 and 4).

    Parameters
    ----------
    resampled
        Scores, or differences, of the resamples, (n_resamples,); NaN where the metric is not
        defined, which leaves that resample out.
    n_units
        How many groups or rows each of them draws.
    """
    resampled = resampled[~np.isnan(resampled)]
    if n_units < 2 or len(resampled) < 2:
        return np.nan
    return float(np.std(resampled, ddof=1)) * np.sqrt(n_units / (n_units - 1))


def margin_of(error: float, n_units: int) -> float:
    """Half the width of the interval of Student's t with n_units - 1 degrees of freedom."""
    if np.isnan(error):
        return np.nan
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n_units - 1)) * error


@dataclass(frozen=True)
class Estimate:
    """A mean over folds, and how sure it is."""

    mean: float
    sd: float
    """Sample standard deviation over folds; NaN for one."""
    n: int
    """Folds."""
    error: float = np.nan
    """Standard error of the mean; NaN where nothing says how sure it is."""
    n_units: int = 0
    """What it was found from: folds or, for a single one, groups or rows that were resampled."""
    is_symmetric: bool = True
    """Whether the interval is. Otherwise it is so for the mean's logit, log(mean / (1 - mean)),
    whose standard error is error / (mean * (1 - mean)) by the delta method."""

    @property
    def margin(self) -> float:
        """Half of the 95 % interval of the mean itself."""
        return margin_of(self.error, self.n_units)

    @property
    def effect_size(self) -> float:
        """The mean in standard deviations over folds or, for a single one, in those of a unit's
        share in it: the standard error times the root of how many there are."""
        spread = self.sd if self.n > 1 else self.error * np.sqrt(self.n_units)
        return self.mean / spread if spread else np.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval; NaN where nothing says how sure the mean is."""
        margin = self.margin
        if self.is_symmetric or np.isnan(margin):
            return self.mean - margin, self.mean + margin
        from scipy.special import expit, logit

        center, margin = logit(self.mean), margin / (self.mean * (1 - self.mean))
        return float(expit(center - margin)), float(expit(center + margin))


@dataclass(frozen=True)
class Statistics:
    """Estimates from the runs of an experiment.

    Parameters
    ----------
    runs
        As `summary.runs_table` makes it.
    test_rows
        Of each run, by arm, fold and seed (as text); read for an experiment of a single fold.
    """

    runs: pd.DataFrame
    test_rows: Mapping[tuple[str, str, str], TestRows] = field(default_factory=dict)
    _resampled: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @cached_property
    def _test(self) -> pd.DataFrame:
        return self.runs[self.runs["split"] == "test"]

    @cached_property
    def is_one_fold(self) -> bool:
        return self.runs["fold"].nunique() == 1

    @cached_property
    def over_rows(self) -> Statistics:
        """The same as if no groups were known."""
        rows = {key: replace(each, groups=None) for key, each in self.test_rows.items()}
        return Statistics(self.runs, rows)

    def score(self, arm: str, metric: str) -> Estimate:
        """The mean test score of an arm.

        Over one test part the scores of rankings have an interval that is symmetric on the logit
        scale: they are skewed, the closer to 1 the more (Boyd, Eng and Page 2013, "Area under the
        precision-recall curve: point estimates and confidence intervals", ECML PKDD).
        """
        resampled = self._resamples(arm, metric)
        found = self._estimate(arm, self._by_fold(arm, metric), resampled)
        is_skewed = resampled is not None and aggregation_of(metric) == "ranks"
        return replace(found, is_symmetric=not is_skewed)

    def difference(self, arm: str, reference: str, metric: str) -> Estimate:
        """The mean difference, arm minus reference, over folds that both have, on the same rows."""
        scores = (self._by_fold(arm, metric) - self._by_fold(reference, metric)).dropna()
        if scores.empty:
            return Estimate(np.nan, np.nan, 0)
        resampled = [self._resamples(name, metric) for name in (arm, reference)]
        paired = None if any(each is None for each in resampled) else resampled[0] - resampled[1]
        return self._estimate(arm, scores, paired)

    def seed_sd(self, arm: str, metric: str) -> float:
        """Spread over the seeds of a fold, which is training noise: sample standard deviation,
        pooled over folds; NaN for a single seed."""
        variances = self._scores(arm, metric).groupby(level="fold").var(ddof=1).dropna()
        return float(np.sqrt(variances.mean())) if len(variances) else np.nan

    def n_seeds(self, arm: str) -> int:
        """Seeds of a fold, the largest number where folds differ; of seeds that decide together,
        how many they are (`seed_average.seeds_together`)."""
        of_arm = self._of(arm)
        told = of_arm["n_seeds"].max() if "n_seeds" in of_arm else np.nan
        return int(of_arm.groupby("fold").size().max() if np.isnan(told) else told)

    def method(self, arm: str) -> str:
        """How the arm's intervals are made, for people; empty where there is none."""
        n_folds = self._of(arm)["fold"].nunique()
        if not self.is_one_fold:
            return f"corrected t over {n_folds} folds" if n_folds > 1 else ""
        rows = self._rows(arm)
        return f"bootstrap over {rows[0].description}" if rows else ""

    def _estimate(self, arm: str, scores: pd.Series, resampled: np.ndarray | None) -> Estimate:
        """A score or a difference.

        Its error is NaN where all folds, or all resamples, have the same, as when every prediction
        is right: such data cannot tell how sure it is.
        """
        values = scores.to_numpy()
        sd = float(values.std(ddof=1)) if len(values) > 1 else np.nan
        if resampled is not None:
            n_units = int(self._rows(arm)[0].units.max()) + 1
            error = bootstrap_error(resampled, n_units)
        else:
            n_units, error = len(values), fold_error(values, self._test_to_train)
        error = np.nan if error < _ROUNDING else error
        return Estimate(float(values.mean()), sd, len(values), error, n_units)

    def _of(self, arm: str) -> pd.DataFrame:
        return self._test[self._test["arm"] == arm]

    def _scores(self, arm: str, metric: str) -> pd.Series:
        return self._of(arm).set_index("fold")[metric].dropna().astype(float)

    def _by_fold(self, arm: str, metric: str) -> pd.Series:
        """Seeds averaged."""
        return self._scores(arm, metric).groupby(level="fold", sort=False).mean()

    @cached_property
    def _test_to_train(self) -> float:
        """Arms share their folds."""
        n_rows = self.runs.groupby("split")["n_examples"].mean()
        return float(n_rows["test"] / n_rows["train"])

    def _rows(self, arm: str) -> list[TestRows]:
        """Of each seed of the only fold; those of the arm that was chosen, where one was."""
        of_arm = self._of(arm)
        chosen = of_arm.get("chosen", of_arm["arm"]).replace("", np.nan).fillna(of_arm["arm"])
        keys = zip(chosen, of_arm["fold"].astype(str), of_arm["seed"].astype(str), strict=True)
        rows = [self.test_rows.get(key) for key in keys]
        return [] if any(each is None for each in rows) else rows

    def _resamples(self, arm: str, metric: str) -> np.ndarray | None:
        if not self.is_one_fold:
            return None
        rows = self._rows(arm)
        of_arm = self._resampled.setdefault(arm, {})
        if rows and metric not in of_arm:
            aggregation = aggregation_of(metric)
            if aggregation == "sums":
                of_arm |= resampled_scores(rows)
            elif aggregation == "ranks":
                of_arm |= resampled_rankings(rows)
            else:
                of_arm[metric] = resampled_from_rows(rows, metric)
        return of_arm.get(metric)


def aggregation_of(metric: str) -> str:
    """`cards.MetricCard.aggregation`; of the share of cut rows, which is no metric, sums."""
    return METRICS[metric].aggregation if metric in METRICS else "sums"
