"""Settings of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np

from speechlasso.evaluation.scores import classification_scores
from speechlasso.section import Section

Metric = Literal["macro_f1", "uar", "accuracy", "positive_f1"]


class Criterion(Section):
    """The score by which something is chosen; larger is better."""

    metric: Metric = "macro_f1"
    """Chooses the best epoch and C on validation rows, and with alpha: cv the lasso's alpha."""
    positive_label: str | None = None
    """The class that positive_f1 is about (binary tasks)."""

    def as_read(self, chooses: bool) -> Self:
        """As a stage reads it that chooses something by a score, or nothing."""
        if not chooses:
            return Criterion()
        return self if self.metric == "positive_f1" else self.with_defaults("positive_label")

    def score(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray,
        classes: Sequence[str],
        predicted: np.ndarray | None = None,
    ) -> float:
        """One of `scores.classification_scores`, which says what the parameters are."""
        return classification_scores(
            labels, probabilities, classes, self.positive_label, predicted
        )[self.metric]
