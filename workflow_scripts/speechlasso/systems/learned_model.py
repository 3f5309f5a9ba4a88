"""Fit the system `learned`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from safetensors.torch import load_file, save_file

from speechlasso.evaluation.inner_folds import mean_scores, record
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.features.frame_files import FrameFiles
from speechlasso.files import read_json, write_csv, write_json, written_whole
from speechlasso.language_model.prediction import Classifier
from speechlasso.language_model.speech_adapter import SpeechAdapter
from speechlasso.language_model.speech_finetuning import finetune_with_speech
from speechlasso.language_model.speech_reader import SpeechReader, encoded_with_speech
from speechlasso.systems.finetuned import settled_by_inner_folds
from speechlasso.systems.learned import Learned
from speechlasso.training.devices import best_device, computing
from speechlasso.training.processes import in_processes

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM, ADAPTER = "learned.json", "adapter.safetensors"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Learn to transcribe, then the task; the epoch is chosen as that of `token_lm`."""
    arm, criterion = settings.arm, settings.criterion
    examples = pd.read_parquet(inputs["token_texts"][0])
    if "examples" in inputs:
        examples = _scheduled(examples, pd.read_parquet(inputs["examples"][0]))
    inner_scores = mean_scores(inputs, criterion)
    work = partial(
        finetune_with_speech,
        examples,
        FrameFiles(inputs["frames"]).by_id(arm.layers),
        folder,
        lm=settings.lm,
        reduction=arm.reduction,
        reads_text="text" in arm.inputs,
        transcription=arm.transcription if arm.transcribes else None,
        settings=settings.finetune,
        criterion=criterion,
        seed=settings.seed,
        threads=threads,
        settled=settled_by_inner_folds(examples, inputs, settings, inner_scores),
    )
    learned = in_processes(settings.finetune.processes, work)
    write_csv(folder / "training_log.csv", learned.result.log)
    write_json(folder / ARM, arm.model_dump(mode="json"))
    with written_whole(folder / ADAPTER) as temporary:
        save_file(learned.adapter, temporary)
    result = learned.result
    return {
        **result.told(),
        "mean_sequence_length": learned.mean_length,
        "layer_weights": learned.layer_weights,
        **record(criterion, inner_scores or result.validation),
    }


def open(folder: Path) -> FittedLearned:
    arm = Learned.model_validate(read_json(folder / ARM))
    adapter = SpeechAdapter.of_state(load_file(folder / ADAPTER), arm.reduction)
    return FittedLearned(arm, Classifier.open(folder), adapter.to(best_device()).eval())


@dataclass(frozen=True)
class FittedLearned:
    arm: Learned
    classifier: Classifier
    adapter: SpeechAdapter

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it; n_audio_tokens are vectors."""
        rows = pd.read_parquet(inputs["token_texts"][0])
        frames = FrameFiles(inputs["frames"]).by_id(self.arm.layers)
        classifier = self.classifier
        reader = SpeechReader(classifier.model, self.adapter, frames, rows["id"].tolist())
        read = rows if "text" in self.arm.inputs else rows.assign(text=None)
        longest = classifier.tokenizer.model_max_length
        with computing(threads, seed=0):
            encoded = encoded_with_speech(read, reader, classifier.tokenizer, longest)
            probabilities = reader.class_probabilities(encoded, 32, show_progress=True)
        sizes = {name: encoded[name].to_numpy() for name in SIZES}
        return predictions_frame(
            rows, probabilities, classifier.classes, threshold=classifier.threshold, **sizes
        )


SIZES = ("n_text_tokens", "n_audio_tokens", "cut")


def _scheduled(examples: pd.DataFrame, schedule: pd.DataFrame) -> pd.DataFrame:
    """The training rows as a schedule has them, with its `phase` and `speech`; then the others."""
    rows = schedule.merge(examples, on="id", validate="m:1")
    others = examples[examples["split"] != "train"].assign(speech=True)
    return pd.concat([rows, others], ignore_index=True)
