"""Fit the system `small_speech_lm`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from speechlasso.evaluation.inner_folds import mean_scores, record
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.features.frame_files import FrameFiles
from speechlasso.files import read_json, write_csv, write_json, written_whole
from speechlasso.language_model.label_choice import Answers, label_probabilities
from speechlasso.language_model.prediction import Classifier, open_model
from speechlasso.language_model.prompt_encoding import WORDS
from speechlasso.language_model.speech_adapter import SpeechAdapter
from speechlasso.language_model.speech_answers import encoded_question, learn_to_answer
from speechlasso.language_model.speech_reader import SpeechReader
from speechlasso.systems.finetuned import settled_by_inner_folds
from speechlasso.systems.small_speech_lm import SmallSpeechLM
from speechlasso.training.devices import best_device, computing
from speechlasso.training.processes import in_processes

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM, ADAPTER = "small_speech_lm.json", "adapter.safetensors"
SIZES = ("n_text_tokens", "n_audio_tokens", "cut")


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Learn to transcribe and, with training: lora, to answer with the label's name."""
    arm, criterion = settings.arm, settings.criterion
    examples = pd.read_parquet(inputs["token_texts"][0])
    inner_scores = mean_scores(inputs, criterion)
    work = partial(
        learn_to_answer,
        examples,
        FrameFiles(inputs["frames"]).by_id(arm.layers),
        folder,
        lm=settings.lm,
        reduction=arm.reduction,
        question=partial(arm.question, text=WORDS),
        learns_task=arm.training == "lora",
        transcription=arm.transcription,
        settings=settings.finetune,
        criterion=criterion,
        seed=settings.seed,
        threads=threads,
        settled=settled_by_inner_folds(examples, inputs, settings, inner_scores),
    )
    learned = in_processes(settings.finetune.processes, work)
    result = learned.result
    write_csv(folder / "training_log.csv", result.log)
    write_json(folder / ARM, arm.model_dump(mode="json"))
    with written_whole(folder / ADAPTER) as temporary:
        save_file(learned.adapter, temporary)
    return {
        **result.told(),
        "mean_sequence_length": learned.mean_length,
        "layer_weights": learned.layer_weights,
        **record(criterion, inner_scores or result.validation),
    }


def open(folder: Path) -> FittedSmallSpeechLM:
    arm = SmallSpeechLM.model_validate(read_json(folder / ARM))
    adapter = SpeechAdapter.of_state(load_file(folder / ADAPTER), arm.reduction)
    opened = Classifier(*open_model(folder, AutoModelForCausalLM))
    return FittedSmallSpeechLM(arm, opened, adapter.to(best_device()).eval())


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
        sizes = {name: asked[name].to_numpy() for name in SIZES}
        return predictions_frame(
            rows, probabilities, classes, threshold=self.answering.threshold, **sizes
        )
