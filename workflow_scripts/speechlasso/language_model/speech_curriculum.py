"""The stages in which a frozen language model learns to hear, whatever it then does with it.

Source: SpeechVerse (arXiv 2405.08295), section 3.2. Stage 1 trains the speech adapter alone, to
transcribe; stage 2 adds low-rank updates of the language model, which learn to transcribe along
before they learn the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedModel

from speechlasso.features.frame_files import FramesById
from speechlasso.language_model.finetuning import FinetuneResult
from speechlasso.language_model.lora import with_lora
from speechlasso.language_model.settings import Finetune, LanguageModel, Transcription
from speechlasso.language_model.speech_adapter import SpeechAdapter, standardisation
from speechlasso.language_model.speech_reader import SpeechReader
from speechlasso.training.loop import Task, train


@dataclass(frozen=True)
class SpeechFinetuning:
    result: FinetuneResult
    """Its log has a column `stage` besides: transcription, warm_up, task."""
    adapter: Mapping[str, torch.Tensor]
    """Its state."""
    layer_weights: list[float]
    """Of the encoder's layers."""
    mean_length: float
    """Of the training sequences: words, vectors of speech and special tokens."""

    @classmethod
    def of(
        cls, result: FinetuneResult, reader: SpeechReader, encoded: pd.DataFrame
    ) -> SpeechFinetuning:
        """What became of a reader that has learned from encoded examples."""
        lengths = encoded.loc[encoded["split"] == "train", "input_ids"].map(len)
        state = {name: tensor.cpu() for name, tensor in reader.adapter.state_dict().items()}
        weights = reader.adapter.layer_weights.tolist()
        return cls(result, state, weights, float(lengths.mean()))


@dataclass(frozen=True)
class Stages:
    """Trainings one after the other, and their logs."""

    lm: LanguageModel
    settings: Finetune
    checkpoints: Path
    seed: int
    logs: list[pd.DataFrame] = field(default_factory=list)

    def train(self, stage: str, reader: SpeechReader, task: Task, **changes: float) -> pd.DataFrame:
        """Train what is trainable of a reader, with other settings than those of the task."""
        log = train(
            reader,
            task,
            self.settings.model_copy(update=changes),
            weight_decay=self.settings.weight_decay,
            precision=self.lm.precision,
            seed=self.seed,
            checkpoint_folder=self.checkpoints,
            title=stage,
        )
        self.logs.append(log.assign(stage=stage))
        return log

    @property
    def log(self) -> pd.DataFrame:
        return pd.concat(self.logs, ignore_index=True)


def new_reader(
    examples: pd.DataFrame, frames: FramesById, lm: PreTrainedModel, reduction: int
) -> SpeechReader:
    """One whose adapter is untrained, for features as the training rows have them."""
    learned = examples.loc[examples["split"] == "train", "id"].drop_duplicates()
    mean, spread = standardisation(frames.read(name) for name in learned)
    embeddings = lm.get_input_embeddings().weight
    adapter = SpeechAdapter(*mean.shape, embeddings.shape[1], reduction)
    adapter.start(mean, spread, float(embeddings.detach().std()))
    names = examples["id"].drop_duplicates().tolist()
    return SpeechReader(lm, adapter, frames, names)


def with_updates(
    lm: PreTrainedModel,
    transcriber: SpeechReader,
    task: Task | None,
    transcription: Transcription,
    stages: Stages,
) -> torch.nn.Module:
    """A frozen model with low-rank updates, it and the adapter having learned to transcribe.

    Parameters
    ----------
    lm
        Of which the transcriber's model has the body.
    task
        Transcription; None leaves it out.
    """
    rate = {"learning_rate": transcription.learning_rate}
    if task:
        stages.train("transcription", transcriber, task, epochs=transcription.epochs, **rate)
    # The updates are drawn alike whether or not anything was trained before.
    torch.manual_seed(stages.seed)
    updated = with_lora(lm, stages.settings.lora)
    if task and transcription.warm_up_epochs:
        stages.train("warm_up", transcriber, task, epochs=transcription.warm_up_epochs, **rate)
    return updated
