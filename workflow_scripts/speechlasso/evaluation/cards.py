"""The cards of the metrics that `evaluate.metric` and `evaluate.more_metrics` can name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from speechlasso.registry import Card, NameOf, Registry

_SUMS = "speechlasso.evaluation.scores"


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
        It scores probabilities, not decisions, so it cannot choose a decision threshold.
    needs_positive_class
        It is about the class `evaluate.positive_label`.
    aggregation
        rows: by the module's `score`. sums: by `scores.scores_of_sums`, from sums over rows, which
        makes a bootstrap one product of matrices; this project's own are made so.
    title
        In model cards; empty leaves it out of them.
    hub_metric
        How the Hugging Face hub calls such metrics, in the metadata of model cards.
    """

    larger_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    needs_probabilities: bool = False
    needs_positive_class: bool = False
    aggregation: Literal["sums", "rows"] = "rows"
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
)
METRICS = Registry(MetricCard, "speechlasso.metrics", _OWN)
USUAL = tuple(card.name for card in _OWN if card.aggregation == "sums")
"""This project's own from sums over rows, which every table has."""

MetricName = Annotated[str, NameOf(METRICS)]


def not_usual(names: Iterable[str]) -> list[str]:
    """The others among some, which the configuration names; each once, in alphabetical order."""
    return sorted(set(names) - set(USUAL))
