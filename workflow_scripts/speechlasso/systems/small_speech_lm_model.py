"""Fit the system `small_speech_lm`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from transformers import AutoModelForCausalLM

from speechlasso.evaluation.scores import predictions_frame, sizes_of
from speechlasso.features.frame_files import FrameFiles
from speechlasso.files import read_json, write_json
from speechlasso.language_model.label_choice import Answers, label_probabilities
from speechlasso.language_model.prediction import Classifier, open_model
from speechlasso.language_model.prompt_encoding import WORDS
from speechlasso.language_model.speech_adapter import SpeechAdapter
from speechlasso.language_model.speech_answers import encoded_question, learn_to_answer
from speechlasso.language_model.speech_reader import SpeechReader
from speechlasso.systems.finetuned import learn_task
from speechlasso.systems.small_speech_lm import SmallSpeechLM
from speechlasso.training.devices import computing

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM = "small_speech_lm.json"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Learn to transcribe and, with training: lora, to answer with the label's name."""
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
        frames=FrameFiles(inputs["frames"]).by_id(arm.layers),
        reduction=arm.reduction,
        question=partial(arm.question, text=WORDS),
        learns_task=arm.training == "lora",
        transcription=arm.transcription,
    )
    write_json(folder / ARM, arm.model_dump(mode="json"))
    return result.told(settings.criterion)


def open(folder: Path) -> FittedSmallSpeechLM:
    arm = SmallSpeechLM.model_validate(read_json(folder / ARM))
    adapter = SpeechAdapter.open(folder, arm.reduction)
    opened = Classifier(*open_model(folder, AutoModelForCausalLM))
    return FittedSmallSpeechLM(arm, opened, adapter)


@dataclass(frozen=True)
class FittedSmallSpeechLM:
    arm: SmallSpeechLM
    answering: Classifier
    """Its classes are the labels to choose from."""
    adapter: SpeechAdapter

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it; n_audio_tokens are vectors."""
        rows = pd.read_parquet(inputs["token_texts"][0])
        frames = FrameFiles(inputs["frames"]).by_id(self.arm.layers)
        tokenizer, classes = self.answering.tokenizer, self.answering.classes
        reader = SpeechReader(self.answering.model, self.adapter, frames, rows["id"].tolist())
        answers, prompt = Answers.of(tokenizer, classes), self.arm.question(classes, WORDS)
        with computing(threads, seed=0):
            asked = encoded_question(
                rows, reader, tokenizer, answers, prompt, tokenizer.model_max_length
            )
            probabilities = label_probabilities(
                reader, asked, reader.inputs, answers, 32, show_progress=True
            )
        decided = {"threshold": self.answering.threshold, **sizes_of(asked)}
        return predictions_frame(rows, probabilities, classes, **decided)
