"""The cheap baseline: logistic regression on the bag of words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from speechlasso.section import ORDERED_NUMBERS, PositiveFloat
from speechlasso.systems.settings import Reads, System, SystemOfTokens


class BowLinear(SystemOfTokens):
    system: Literal["bow_linear"]
    """Logistic regression on counts of words and kept audio tokens."""
    classifier: Literal["logistic_regression", "dummy"] = "logistic_regression"
    """dummy draws labels by the training rows' class shares, anew for each seed: what chance
    gives."""
    weighting: Literal["tfidf", "counts"] = "tfidf"
    """Weigh counts by TF-IDF, or take them as they are."""
    scaling: Literal["unit_variance", "none"] = "unit_variance"
    """Scale every feature to unit variance, or not."""
    C: Annotated[list[PositiveFloat], Field(min_length=1), ORDERED_NUMBERS] = [
        *(0.0003, 0.001, 0.003, 0.01, 0.1, 1.0)
    ]
    """Inverse strengths of the L2 penalty to try; the validation metric chooses."""

    def as_read(self) -> Self:
        arm = super().as_read()
        return arm.with_defaults("weighting", "scaling", "C") if self.is_dummy else arm

    def reads(self, artifacts: Any) -> Reads:
        upstream = {"bow": artifacts.bag_of_words()}
        if self.reads_audio:
            upstream["select"] = artifacts.selection(self.select)
        chooses = not self.is_dummy and len(self.C) > 1
        if chooses:
            upstream |= artifacts.inner_fits(self)
        return Reads(upstream, chooses=chooses, draws=self.is_dummy)

    @property
    def is_dummy(self) -> bool:
        return self.classifier == "dummy"

    def predicts_by(self, arms: Mapping[str, System]) -> set[str]:
        return set() if self.is_dummy else super().predicts_by(arms)
