"""Settings that every training has."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    PositiveInt,
)

from speechlasso.section import HOW_ONLY, Section, Share

CHECKPOINT = "checkpoint"
"""Folder, beside spec.json, with what a job goes on from when it was stopped."""


class Training(Section):
    batch_size: PositiveInt = 32
    """Examples per step."""
    micro_batch_size: Annotated[PositiveInt | None, HOW_ONLY] = None
    """Examples (packed: rows of them) computed at a time, their gradients being accumulated to a
    step; by default all."""
    processes: Annotated[PositiveInt, HOW_ONLY] = 1
    """Processes that share each step: as many as the machine has GPUs for it."""
    gradient_checkpointing: Annotated[bool, HOW_ONLY] = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    warmup_share: Share = 0.05
    """Part of the steps in which the learning rate rises; it then falls linearly to zero."""
    patience: PositiveInt = 3
    """Stop after so many epochs without a better validation result."""

    @property
    def part_size(self) -> int:
        """Examples computed at a time."""
        return self.micro_batch_size or self.batch_size
