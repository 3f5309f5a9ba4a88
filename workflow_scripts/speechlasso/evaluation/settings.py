"""Settings of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import numpy as np
import pandas as pd
from pydantic import Field

from speechlasso.errors import InputError
from speechlasso.evaluation.cards import METRICS, MetricCard, MetricName, not_usual
from speechlasso.evaluation.scores import classification_scores
from speechlasso.registry import origin_of
from speechlasso.section import Section

Scores = TypeVar("Scores", float, np.ndarray, pd.Series)


class Criterion(Section):
    """The score by which something is chosen."""

    metric: MetricName = "macro_f1"
    """Chooses the best epoch and C on validation rows (`dataset.folds.choose_on`), and with alpha:
    cv the lasso's alpha; `speechlasso metrics` describes each."""
    positive_label: str | None = None
    """The class that positive_f1, average_precision and roc_auc are about (binary tasks)."""

    def as_read(self, chooses: bool) -> Criterion:
        """As a stage reads it that chooses something by a score, or nothing."""
        if not chooses:
            return Criterion()
        label = self.positive_label if self.card.needs_positive_class else None
        return Criterion(metric=self.metric, positive_label=label)

    @property
    def card(self) -> MetricCard:
        return METRICS[self.metric]

    def scores(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray,
        classes: Sequence[str],
        predicted: np.ndarray | None = None,
    ) -> dict[str, float | None]:
        """As `scores.classification_scores`, which says what the parameters are, with the metric.

        Raises
        ------
        InputError
            If the metric is not defined on these rows.
        """
        found = classification_scores(
            labels,
            probabilities,
            classes,
            self.positive_label,
            predicted,
            more_metrics=not_usual([self.metric]),
        )
        if found[self.metric] is None:
            present = ", ".join(str(classes[index]) for index in np.unique(labels))
            raise InputError(
                f"evaluate.metric: {self.metric} cannot choose: it is not defined on "
                f"{len(labels)} rows of {present}; name another metric"
            )
        return found

    def score(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray,
        classes: Sequence[str],
        predicted: np.ndarray | None = None,
    ) -> float:
        """The metric alone, in its own direction."""
        return self.scores(labels, probabilities, classes, predicted)[self.metric]

    def utility(self, scores: Scores) -> Scores:
        """Scores turned so that larger is better."""
        return scores if self.card.larger_is_better else -scores


class Evaluation(Criterion):
    """What chooses, and what the tables say besides."""

    more_metrics: list[MetricName] = []
    """Scores in the tables beside the usual ones."""
    reference: str | None = None
    """The arm of `experiment.arms` that verdicts compare the others with; by default the first one
    that reads text alone, or the first."""
    margin: Annotated[float, Field(ge=0)] = 0.01
    """Arms at most so far apart, in the metric, are practically equal."""

    @property
    def outside_metrics(self) -> list[str]:
        """The named metrics from outside this project: those which the tables get by naming."""
        return not_usual([self.metric, *self.more_metrics])

    @property
    def modules(self) -> list[str]:
        """Modules that hold those."""
        return list(origin_of(METRICS[name] for name in self.outside_metrics).get("modules", ()))
