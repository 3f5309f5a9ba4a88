"""Settings of the evaluation."""

from __future__ import annotations

from typing import Literal, Self

from speechlasso.section import Section

Metric = Literal["macro_f1", "uar", "accuracy", "positive_f1"]


class Evaluate(Section):
    metric: Metric = "macro_f1"
    """Chooses the best epoch and C on validation rows, and with alpha: cv the lasso's alpha."""
    positive_label: str | None = None
    """The class that positive_f1 is about (binary tasks)."""

    def as_read(self, chooses: bool) -> Self:
        """As a stage reads it that chooses something by a score, or nothing."""
        if not chooses:
            return Evaluate()
        return self if self.metric == "positive_f1" else self.with_defaults("positive_label")
