"""The cards of the metrics that `evaluate.metric` and `evaluate.more_metrics` can name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from speechlasso.registry import Card, NameOf, Registry

_SUMS = "speechlasso.evaluation.scores"
_RANKS = "speechlasso.evaluation.ranking"


@dataclass(frozen=True)
class ScoredRows:
    """What a metric is computed from: some rows, at least one.

    Attributes
    ----------
    labels, predicted
        Index of each row's class and of the one that was decided on, int, (n_rows,).
    probabilities
        (n_rows, n_classes).
    classes
        Their names; not each must occur in the rows.
    positive
        Index of the positive class; None where none is named.
    """

    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    positive: int | None = None

    def take(self, indices: np.ndarray) -> ScoredRows:
        """Some rows, each as often as it is named."""
        return replace(
            self,
            labels=self.labels[indices],
            predicted=self.predicted[indices],
            probabilities=self.probabilities[indices],
        )


@dataclass(frozen=True, kw_only=True)
class MetricCard(Card):
    """A score of a classifier. Its module has

        score(rows: ScoredRows) -> float

    which is NaN where the metric is not defined, as that of a class without rows. The card lies in
    the same module. A bootstrap calls it for each of its `N_RESAMPLES` samples of rows.

    Attributes
    ----------
    larger_is_better
        Otherwise the smallest score is the best.
    bounds
        The smallest and the largest score that are possible; intervals end there.
    needs_probabilities
        It scores probabilities, so no decision threshold is chosen by it.
    needs_positive_class
        It is about the class `evaluate.positive_label`.
    aggregation
        rows: by the module's `score`. This project's own are faster in a bootstrap: sums, by
        `scores.scores_of_sums`, whose samples are one product of matrices; ranks, by
        `ranking.ranking_scores`, which sorts rows once for all samples.
    in_narrow_tables
        Whether tables for people show it; the files have every metric.
    title
        In model cards; empty leaves it out of them.
    hub_metric
        How the Hugging Face hub calls such metrics, in the metadata of model cards.
    """

    larger_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    needs_probabilities: bool = False
    needs_positive_class: bool = False
    aggregation: Literal["sums", "ranks", "rows"] = "rows"
    in_narrow_tables: bool = True
    title: str = ""
    hub_metric: str | None = None


_OWN = (
    MetricCard(
        name="accuracy",
        description="Share of rows that are right.",
        implementation=_SUMS,
        aggregation="sums",
        title="accuracy",
        hub_metric="accuracy",
    ),
    MetricCard(
        name="macro_f1",
        description="Mean F1 of the classes that occur in labels or predictions (scikit-learn's).",
        implementation=_SUMS,
        aggregation="sums",
        title="macro F1",
        hub_metric="f1",
    ),
    MetricCard(
        name="macro_f1_present",
        description="Mean F1 of the classes that occur in labels.",
        implementation=_SUMS,
        aggregation="sums",
    ),
    MetricCard(
        name="uar",
        description="Unweighted average recall, of the classes that occur in labels.",
        implementation=_SUMS,
        aggregation="sums",
        title="unweighted average recall",
        hub_metric="recall",
    ),
    MetricCard(
        name="positive_f1",
        description="F1 of the class evaluate.positive_label.",
        implementation=_SUMS,
        aggregation="sums",
        needs_positive_class=True,
        title="F1 of the positive class",
        hub_metric="f1",
    ),
    MetricCard(
        name="loss",
        description="Mean negative log-likelihood of the true class, in nats.",
        implementation=_SUMS,
        aggregation="sums",
        larger_is_better=False,
        bounds=(0.0, np.inf),
        needs_probabilities=True,
        title="loss (nats)",
    ),
    MetricCard(
        name="micro_f1",
        description="F1 of all classes' decisions together; of one class a row it is the accuracy.",
        implementation=_SUMS,
        aggregation="sums",
        in_narrow_tables=False,
    ),
    MetricCard(
        name="weighted_f1",
        description="Mean F1 of the classes, each by its share of the labels.",
        implementation=_SUMS,
        aggregation="sums",
        in_narrow_tables=False,
        title="weighted F1",
        hub_metric="f1",
    ),
    MetricCard(
        name="ece",
        description="Expected calibration error: how far probabilities of what was decided are "
        "from the share that is right, mean over rows in 15 equally wide bins (Guo et al. 2017).",
        implementation=_SUMS,
        aggregation="sums",
        larger_is_better=False,
        needs_probabilities=True,
        title="expected calibration error",
    ),
    MetricCard(
        name="average_precision",
        description="Mean precision over the recall of the class evaluate.positive_label, whose "
        "rows its probability ranks; None without rows of it.",
        implementation=_RANKS,
        aggregation="ranks",
        needs_probabilities=True,
        needs_positive_class=True,
        title="average precision",
    ),
    MetricCard(
        name="roc_auc",
        description="How often a row of the class evaluate.positive_label has a larger probability "
        "of it than another row, ties one half; None without both kinds of rows.",
        implementation=_RANKS,
        aggregation="ranks",
        needs_probabilities=True,
        needs_positive_class=True,
        title="area under the ROC curve",
        hub_metric="roc_auc",
    ),
)
METRICS = Registry(MetricCard, "speechlasso.metrics", _OWN)
USUAL = tuple(card.name for card in _OWN)
"""This project's own, which every table has."""

MetricName = Annotated[str, NameOf(METRICS)]


def title_of(metric: str) -> str:
    """A metric's name for people: its title, or where it has none its key."""
    return METRICS[metric].title or metric


def not_usual(names: Iterable[str]) -> list[str]:
    """The others among some, which the configuration names; each once, in alphabetical order."""
    return sorted(set(names) - set(USUAL))
