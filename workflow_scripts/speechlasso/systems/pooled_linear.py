"""The baseline without tokens: a linear classifier of an encoder's frames, pooled."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from speechlasso.section import ORDERED_NUMBERS, PositiveFloat
from speechlasso.systems.settings import Reads, SystemOfInputs


class PooledLinear(SystemOfInputs):
    system: Literal["pooled_linear"]
    """Linear classifier of the mean and the spread of the encoder's frames (`encoder`), and of
    words."""
    layers: Annotated[
        list[Annotated[int, Field(ge=0)]] | None, Field(min_length=1), ORDERED_NUMBERS
    ] = None
    """Whose hidden states to pool, among those that the encoder keeps; by default all, side by
    side."""
    classifier: Literal["logistic_regression", "linear_svm"] = "logistic_regression"
    """linear_svm has no probabilities of its own: its margins stand in for their logarithms."""
    C: Annotated[list[PositiveFloat], Field(min_length=1), ORDERED_NUMBERS] = [
        *(0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)
    ]
    """Inverse strengths of the L2 penalty to try; the validation metric chooses."""

    def as_read(self) -> Self:
        arm = super().as_read()
        return arm if self.reads_audio else arm.with_defaults("layers")

    def reads(self, artifacts: Any) -> Reads:
        upstream = {"bow": artifacts.bag_of_words(with_audio=False)}
        if self.reads_audio:
            upstream["frames"] = artifacts.frames("pooled_linear's layers", self.layers)
        chooses = len(self.C) > 1
        if chooses:
            upstream |= artifacts.inner_fits(self)
        return Reads(upstream, chooses=chooses, draws=False)
