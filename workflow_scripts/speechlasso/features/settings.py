"""Settings of the encoder that makes frames of clips."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from speechlasso.files import files_of_model
from speechlasso.section import ORDERED_NUMBERS, Section

ACOUSTIC_ENCODERS = ("spectral", "logmel")
"""Names for `encoder.model` that mean no model: frames computed from the waveform alone."""


class Encoder(Section):
    model: str = "openai/whisper-tiny.en"
    """A HuBERT, WavLM or Whisper: hub id or local directory. Or without any model, as layer 0,
    spectral: cepstra, energy and pitch, 50 times a second; logmel: 80 log-mel bands, 100 times a
    second. No other key of this section is read then."""
    revision: str | None = None
    """Commit of the model on the hub."""
    layers: (
        Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), ORDERED_NUMBERS]
        | Literal["all"]
    ) = [2]
    """Whose hidden states to keep, as transformers numbers them: 0 is the input embedding; or all.
    Each takes 50 frames a second of as many half-precision numbers as the model is wide."""
    padding: Literal["none", "window"] = "none"
    """What Whisper hears: each clip at its own length, or with silence up to the 30 s that it was
    trained on, which costs as much as 30 s of sound however short the clip. HuBERT and WavLM never
    pad."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 needs a GPU, and changes frames."""

    @property
    def kept_layers(self) -> list[int] | None:
        """None for all."""
        if self.is_acoustic:
            return [0]
        return None if self.layers == "all" else self.layers

    def files(self) -> dict[str, str]:
        """Files on this machine that the encoder is read from; none for a model of the hub."""
        return {} if self.is_acoustic else files_of_model("model", self.model)

    @property
    def is_acoustic(self) -> bool:
        return self.model in ACOUSTIC_ENCODERS

    def as_read(self) -> Self:
        if not self.is_acoustic:
            return self
        return self.with_defaults("revision", "layers", "padding", "precision")
