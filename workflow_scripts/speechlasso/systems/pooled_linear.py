"""The baseline without tokens: a linear classifier of an encoder's frames, pooled."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from speechlasso.section import ORDERED_NUMBERS
from speechlasso.systems.linear_of_features import LinearOfFeatures


class PooledLinear(LinearOfFeatures):
    system: Literal["pooled_linear"]
    """Linear classifier of the mean and the spread of the encoder's frames (`encoder`), and of
    words."""
    layers: Annotated[
        list[Annotated[int, Field(ge=0)]] | None, Field(min_length=1), ORDERED_NUMBERS
    ] = None
    """Whose hidden states to pool, among those that the encoder keeps; by default all, side by
    side."""

    def as_read(self) -> Self:
        arm = super().as_read()
        return arm if self.reads_audio else arm.with_defaults("layers")

    def frames(self, artifacts: Any) -> Any:
        return artifacts.frames("pooled_linear's layers", self.layers)
