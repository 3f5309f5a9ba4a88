"""The stages in which a frozen language model learns to hear, whatever it then does with it.

Source: SpeechVerse (arXiv 2405.08295), section 3.2. Stage 1 trains the speech adapter alone, to
transcribe; stage 2 adds low-rank updates of the language model, which learn to transcribe along
before they learn the task.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from speechlasso.evaluation.settings import Criterion
from speechlasso.features.frame_files import FramesById
from speechlasso.language_model.classification import (
    FinetuneResult,
    Reading,
    Settled,
    chosen_threshold,
    classification_task,
    scores_of_epochs,
    training_lengths,
)
from speechlasso.language_model.finetuning import save
from speechlasso.language_model.lora import with_lora
from speechlasso.language_model.settings import Finetune, LanguageModel, Transcription
from speechlasso.language_model.speech_adapter import SpeechAdapter, standardisation
from speechlasso.language_model.speech_reader import SpeechReader
from speechlasso.training.devices import n_trainable
from speechlasso.training.loop import Task, train
from speechlasso.training.settings import CHECKPOINT


@dataclass(frozen=True)
class SpeechFinetuning(FinetuneResult):
    """Its log has a column `stage` besides: transcription, warm_up, task."""

    layer_weights: list[float]
    """Of the encoder's layers."""


@dataclass(frozen=True)
class Stages:
    """Trainings one after the other, from now on, and their logs; the last one is on the task.

    Attributes are as of `finetuning.finetune`.
    """

    lm: LanguageModel
    settings: Finetune
    criterion: Criterion
    seed: int
    settled: Settled | None
    model_folder: Path
    started: float = field(default_factory=time.perf_counter)
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
            checkpoint_folder=self.model_folder / CHECKPOINT,
            title=stage,
        )
        self.logs.append(log.assign(stage=stage))
        return log

    def finish(
        self,
        reader: SpeechReader,
        updated: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        encoded: pd.DataFrame,
        classes: list[str],
        reading: Reading,
        learns_task: bool = True,
    ) -> SpeechFinetuning:
        """Learn the task, if asked to, merge the updates, choose the threshold and save all.

        Parameters
        ----------
        updated
            The reader's model with its updates (`with_updates`).
        encoded, classes, reading
            As `classification_task` takes them.
        """
        options = (self.settings, self.criterion)
        scores = {}
        if learns_task:
            task = classification_task(encoded, classes, reading, *options, self.seed, self.settled)
            scores = scores_of_epochs(self.train("task", reader, task), task)
        n_learned = n_trainable(reader)
        reader.lm = updated.merge_and_unload()
        threshold = chosen_threshold(encoded, classes, reading, *options, self.settled)
        save(reader.lm, tokenizer, threshold, self.model_folder)
        reader.adapter.save(self.model_folder)
        log = pd.concat(self.logs, ignore_index=True)
        costs = (self.started, n_learned, training_lengths(encoded))
        layer_weights = reader.adapter.layer_weights.tolist()
        return SpeechFinetuning.measured(
            *costs, log, scores, classes, threshold, layer_weights=layer_weights
        )


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
