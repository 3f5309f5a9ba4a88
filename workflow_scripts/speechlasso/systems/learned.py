"""Speech as a learned representation: vectors of a speech encoder beside a language model's words.

Source: SpeechVerse (arXiv 2405.08295).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator

from speechlasso.errors import InputError
from speechlasso.language_model.settings import Finetune, Transcription
from speechlasso.section import ORDERED_NUMBERS
from speechlasso.systems.settings import FINETUNE_SWEEPS, Reads, SystemOfInputs, reads_to_finetune


class Learned(SystemOfInputs):
    sweeps = FINETUNE_SWEEPS
    has_schedule = True

    system: Literal["learned"]
    """The frozen language model (`lm`) with low-rank updates reads vectors beside its words: a
    learned sum of the layers of the frozen speech encoder (`encoder`), shortened by convolutions
    (after SpeechVerse). `finetune` says how the task is learned, always with method: lora."""
    layers: Annotated[
        list[Annotated[int, Field(ge=0)]] | None, Field(min_length=1), ORDERED_NUMBERS
    ] = None
    """Whose hidden states to sum, among those that the encoder keeps; by default all."""
    reduction: PositiveInt = 8
    """Frames that become one vector: 8 of 50 a second make 6.25 vectors a second."""
    curriculum: Literal["two_stages", "none"] = "two_stages"
    """two_stages: learn to transcribe first, as `transcription` says. none: the task from the
    start."""
    transcription: Transcription = Transcription()
    """Settings of curriculum: two_stages."""

    @field_validator("inputs")
    @classmethod
    def _hears(cls, inputs: list[str]) -> list[str]:
        if "audio" not in inputs:
            raise ValueError("this system reads audio; for text alone name system: token_lm")
        return inputs

    def as_read(self) -> Self:
        arm = super().as_read()
        return arm if self.transcribes else arm.with_defaults("transcription")

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        # Nothing of what is said of audio tokens and their rows.
        return finetune.model_copy(update={"method": "lora"}).as_read(reads_audio=False)

    def reads(self, artifacts: Any) -> Reads:
        settings = artifacts.settings
        if self.transcribes and not artifacts.has_text:
            raise InputError(
                f"arms.{artifacts.arms[-1]}.curriculum: two_stages learns to transcribe, but "
                "dataset.table.columns.text is null; set it to none"
            )
        read = ["text"] if self.transcribes or "text" in self.inputs else []
        upstream = {
            "token_texts": artifacts.token_texts(read, None),
            "frames": artifacts.frames("learned's layers", self.layers),
        }
        if schedule := self.schedule_read(settings):
            upstream["examples"] = artifacts.examples(schedule)
        return reads_to_finetune(self, artifacts, upstream, settings.lm.as_read(has_new_rows=False))

    @property
    def transcribes(self) -> bool:
        return self.curriculum == "two_stages"
