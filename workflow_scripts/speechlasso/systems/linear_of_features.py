"""What linear classifiers of a vector of audio features, and of words, have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import Field

from speechlasso.section import ORDERED_NUMBERS, PositiveFloat
from speechlasso.systems.settings import Reads, SystemOfInputs

STRENGTHS = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)


class LinearOfFeatures(SystemOfInputs):
    classifier: Literal["logistic_regression", "linear_svm"] = "logistic_regression"
    """linear_svm has no probabilities of its own: its margins stand in for their logarithms."""
    C: Annotated[list[PositiveFloat], Field(min_length=1), ORDERED_NUMBERS] = [*STRENGTHS]
    """Inverse strengths of the L2 penalty to try; the validation metric chooses."""

    @abstractmethod
    def frames(self, artifacts: Any) -> Any:
        """What the features are made of, where audio is read."""

    def reads(self, artifacts: Any) -> Reads:
        upstream = {"bow": artifacts.bag_of_words(with_audio=False)}
        if self.reads_audio:
            upstream["frames"] = self.frames(artifacts)
        chooses = len(self.C) > 1
        if chooses:
            upstream |= artifacts.inner_fits(self)
        return Reads(upstream, chooses=chooses, draws=False)
