"""A whole audio language model, asked which label fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.systems.prompted import PromptedSystem
from speechlasso.systems.settings import (
    CLIPS_ROLE,
    FINETUNE_SWEEPS,
    Reads,
    hearing,
    reads_to_finetune,
)


class SpeechLM(PromptedSystem):
    sweeps = FINETUNE_SWEEPS

    system: Literal["speech_lm"]
    """An audio language model of transformers hears the clips themselves and is asked, in its own
    chat template, which label fits: the label whose name it takes for the likeliest answer."""
    model: str = "Qwen/Qwen2-Audio-7B-Instruct"
    """Hub name or local directory of the model and its processor."""
    revision: str | None = None
    """Commit, tag or branch on the hub; pin it so that a run can be repeated."""
    model_class: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*For[A-Z][A-Za-z0-9]*$")] = (
        "Qwen2AudioForConditionalGeneration"
    )
    """Its class in transformers; one whose processor takes text and audio."""

    @field_validator("inputs")
    @classmethod
    def _hears(cls, inputs: list[str]) -> list[str]:
        return hearing(inputs)

    def as_read(self) -> Self:
        # They are read as those of the section `lm`.
        return super().as_read().with_defaults("model", "revision")

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        finetune = super().finetune_as_read(finetune.model_copy(update={"method": "lora"}))
        finetune = finetune.as_read(reads_audio=False)  # no audio tokens
        if self.training == "lora":
            return finetune
        of_training = ("method", "lora", "weight_decay", "warmup_share", "batch_size")
        return finetune.with_defaults(*of_training)

    def reads(self, artifacts: Any) -> Reads:
        manifest = artifacts.manifest()
        upstream = {
            "token_texts": artifacts.token_texts(["text"] if "text" in self.inputs else [], None),
            "manifest": manifest,
            CLIPS_ROLE: manifest,
        }
        precision = artifacts.settings.lm.precision
        lm = LanguageModel(name=self.model, revision=self.revision, precision=precision)
        reads = reads_to_finetune(self, artifacts, upstream, lm)
        return replace(reads, draws=self.training == "lora")
