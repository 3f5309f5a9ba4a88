"""Fit the system `learned`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from speechlasso.evaluation.scores import predictions_frame, sizes_of
from speechlasso.evaluation.without_audio import with_silence
from speechlasso.features.frame_files import FrameFiles, FramesById
from speechlasso.files import read_json, write_json
from speechlasso.language_model.prediction import Classifier
from speechlasso.language_model.speech_adapter import SpeechAdapter
from speechlasso.language_model.speech_finetuning import finetune_with_speech
from speechlasso.language_model.speech_reader import SpeechReader, encoded_with_speech
from speechlasso.systems.finetuned import learn_task
from speechlasso.systems.learned import Learned
from speechlasso.training.devices import computing

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM = "learned.json"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Learn to transcribe, then the task; the epoch is chosen as that of `token_lm`."""
    arm = settings.arm
    examples = pd.read_parquet(inputs["token_texts"][0])
    if "examples" in inputs:
        examples = _scheduled(examples, pd.read_parquet(inputs["examples"][0]))
    result = learn_task(
        finetune_with_speech,
        examples,
        inputs,
        settings,
        folder,
        threads,
        lm=settings.lm,
        frames=FrameFiles(inputs["frames"]).by_id(arm.layers),
        reduction=arm.reduction,
        reads_text="text" in arm.inputs,
        transcription=arm.transcription if arm.transcribes else None,
    )
    write_json(folder / ARM, arm.model_dump(mode="json"))
    return result.told(settings.criterion)


def open(folder: Path) -> FittedLearned:
    arm = Learned.model_validate(read_json(folder / ARM))
    adapter = SpeechAdapter.open(folder, arm.reduction)
    return FittedLearned(arm, Classifier.open(folder), adapter)


@dataclass(frozen=True)
class FittedLearned:
    arm: Learned
    classifier: Classifier
    adapter: SpeechAdapter

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it; n_audio_tokens are vectors."""
        rows = pd.read_parquet(inputs["token_texts"][0])
        read = rows if "text" in self.arm.inputs else rows.assign(text=None)
        frames = FrameFiles(inputs["frames"]).by_id(self.arm.layers)
        return with_silence(
            self._predict(read, frames, threads),
            read["text"].notna(),
            lambda silent: self._predict(read[silent].assign(speech=False), frames, threads),
        )

    def _predict(self, rows: pd.DataFrame, frames: FramesById, threads: int) -> pd.DataFrame:
        classifier = self.classifier
        reader = SpeechReader(classifier.model, self.adapter, frames, rows["id"].tolist())
        longest = classifier.tokenizer.model_max_length
        with computing(threads, seed=0):
            encoded = encoded_with_speech(rows, reader, classifier.tokenizer, longest)
            probabilities = reader.class_probabilities(encoded, 32, show_progress=True)
        decided = {"threshold": classifier.threshold, **sizes_of(encoded)}
        return predictions_frame(rows, probabilities, classifier.classes, **decided)


def _scheduled(examples: pd.DataFrame, schedule: pd.DataFrame) -> pd.DataFrame:
    """The training rows as a schedule has them, with its `phase` and `speech`; then the others."""
    rows = schedule.merge(examples, on="id", validate="m:1")
    others = examples[examples["split"] != "train"].assign(speech=True)
    return pd.concat([rows, others], ignore_index=True)
