"""A language model that learned to hear, asked which label fits."""

from __future__ import annotations

from typing import Any, Literal, Self

from speechlasso.systems.prompted import PromptedSystem
from speechlasso.systems.settings import (
    FINETUNE_SWEEPS,
    Reads,
    SystemOfVectors,
    reads_to_finetune,
)


class SmallSpeechLM(PromptedSystem, SystemOfVectors):
    sweeps = FINETUNE_SWEEPS

    system: Literal["small_speech_lm"]
    """The frozen language model (`lm`, a causal one with a chat template) reads vectors of speech
    as `learned` does and learns to transcribe by the same curriculum. It is then asked which label
    fits: the label whose name it takes for the likeliest answer."""

    def as_read(self) -> Self:
        # A causal model tells all words.
        told = self.transcription.with_defaults("mask_probability")
        return super().as_read().model_copy(update={"transcription": told})

    def reads(self, artifacts: Any) -> Reads:
        upstream = self.learned_from(artifacts, transcribes=True)
        lm = artifacts.settings.lm.as_read(has_new_rows=False)
        return reads_to_finetune(self, artifacts, upstream, lm)
