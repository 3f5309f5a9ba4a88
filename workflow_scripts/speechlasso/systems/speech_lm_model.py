"""Fit the system `speech_lm`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from safetensors.torch import load_file
from transformers import ProcessorMixin

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.evaluation.decision import Threshold
from speechlasso.evaluation.scores import predictions_frame, sizes_of
from speechlasso.files import read_json, write_json
from speechlasso.language_model.audio_answers import UPDATES, Heard, learn_to_answer
from speechlasso.language_model.audio_language_model import load_audio_model, load_processor
from speechlasso.language_model.label_choice import Answers, label_probabilities
from speechlasso.language_model.lora import with_lora, with_updates_of
from speechlasso.language_model.prompt_encoding import WORDS
from speechlasso.language_model.settings import LanguageModel, LoRA
from speechlasso.systems.finetuned import learn_task
from speechlasso.systems.speech_lm import SpeechLM
from speechlasso.training.devices import computing

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM = "speech_lm.json"
PROMPTS_AT_A_TIME = 32
"""Answers, that is: as many prompts as have so many."""


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """With training: lora, learn to answer with the label's name; else only what is asked."""
    arm = settings.arm
    examples = pd.read_parquet(inputs["token_texts"][0])
    result = learn_task(
        learn_to_answer,
        examples,
        inputs,
        settings,
        folder,
        threads,
        lm=settings.lm,
        heard=_heard(inputs),
        model_class=arm.model_class,
        question=partial(arm.question, text=WORDS),
        learns_task=arm.training == "lora",
    )
    told = {
        "arm": arm.model_dump(mode="json"),
        "lm": settings.lm.model_dump(mode="json"),
        "lora": settings.finetune.lora.model_dump(mode="json"),
        "classes": result.classes,
        "decision_threshold": result.decision_threshold,
    }
    write_json(folder / ARM, told)
    return result.told(settings.criterion)


def open(folder: Path) -> FittedSpeechLM:
    told = read_json(folder / ARM)
    arm, lm = SpeechLM.model_validate(told["arm"]), LanguageModel.model_validate(told["lm"])
    model = load_audio_model(lm, arm.model_class)
    if updates := load_file(folder / UPDATES):
        lora = LoRA.model_validate(told["lora"])
        with_updates_of(with_lora(model, lora, part=model.get_decoder()), updates)
    return FittedSpeechLM(
        arm, told["classes"], told["decision_threshold"], model.eval(), load_processor(lm)
    )


@dataclass(frozen=True)
class FittedSpeechLM:
    arm: SpeechLM
    classes: list[str]
    threshold: Threshold | None
    model: torch.nn.Module
    processor: ProcessorMixin

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it; n_audio_tokens are vectors."""
        rows = pd.read_parquet(inputs["token_texts"][0])
        reader = _heard(inputs).reader(self.model, self.processor)
        answers = Answers.of(self.processor.tokenizer, self.classes)
        with computing(threads, seed=0):
            asked = reader.encoded_with_sound(rows, self.arm.question(self.classes, WORDS))
            probabilities = label_probabilities(
                reader, asked, reader.inputs, answers, PROMPTS_AT_A_TIME, show_progress=True
            )
        decided = {"threshold": self.threshold, **sizes_of(asked)}
        return predictions_frame(rows, probabilities, self.classes, **decided)


def _heard(inputs: Files) -> Heard:
    return Heard(pd.read_parquet(inputs["manifest"][0]), RecordedClips.read(inputs["clips"][0]))
