"""Speech as a learned representation: vectors of a speech encoder beside a language model's words.

Source: SpeechVerse (arXiv 2405.08295).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from speechlasso.systems.settings import (
    FINETUNE_SWEEPS,
    Reads,
    SystemOfVectors,
    reads_to_finetune,
)


class Learned(SystemOfVectors):
    sweeps = FINETUNE_SWEEPS
    has_schedule = True

    system: Literal["learned"]
    """The frozen language model (`lm`) with low-rank updates reads vectors beside its words: a
    learned sum of the layers of the frozen speech encoder (`encoder`), shortened by convolutions
    (after SpeechVerse). `finetune` says how the task is learned, always with method: lora."""
    curriculum: Literal["two_stages", "none"] = "two_stages"
    """two_stages: learn to transcribe first, as `transcription` says. none: the task from the
    start."""

    def as_read(self) -> Self:
        arm = super().as_read()
        return arm if self.transcribes else arm.with_defaults("transcription")

    def reads(self, artifacts: Any) -> Reads:
        settings = artifacts.settings
        upstream = self.learned_from(artifacts, self.transcribes)
        if schedule := self.schedule_read(settings):
            upstream["examples"] = artifacts.examples(schedule)
        return reads_to_finetune(self, artifacts, upstream, settings.lm.as_read(has_new_rows=False))

    @property
    def transcribes(self) -> bool:
        return self.curriculum == "two_stages"
