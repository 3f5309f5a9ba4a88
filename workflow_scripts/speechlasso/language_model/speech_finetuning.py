"""Fine-tune a frozen language model that hears: first to transcribe, then to classify.

Source: SpeechVerse (arXiv 2405.08295), section 3.2. Stage 1 trains the speech adapter alone, to
transcribe. Stage 2 adds low-rank updates of the language model: first to transcribe, then for the
task, with the classification head.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerBase,
)

from speechlasso.evaluation.settings import Criterion
from speechlasso.features.frame_files import FramesById
from speechlasso.language_model.classification import (
    Reading,
    Settled,
    chosen_threshold,
    classification_task,
    head_options,
    learned_classes,
    scores_of_epochs,
)
from speechlasso.language_model.encoding import encode_beside_speech
from speechlasso.language_model.finetuning import FinetuneResult, head_parameters, save
from speechlasso.language_model.lora import with_lora
from speechlasso.language_model.pretrained import (
    LoadedModel,
    load_model,
    load_tokenizer,
    objective,
)
from speechlasso.language_model.settings import Finetune, LanguageModel, Transcription
from speechlasso.language_model.speech_adapter import SpeechAdapter, standardisation
from speechlasso.language_model.speech_reader import PADDED, SpeechReader
from speechlasso.language_model.transcription import transcription_task, with_body_of
from speechlasso.training.batching import length_grouped_batches
from speechlasso.training.devices import computing, n_trainable, peak_memory_mb
from speechlasso.training.loop import Batch, Task, train
from speechlasso.training.settings import CHECKPOINT


@dataclass(frozen=True)
class SpeechFinetuning:
    result: FinetuneResult
    """Its log has a column `stage` besides: transcription, warm_up, task."""
    adapter: dict[str, torch.Tensor]
    """Its state."""
    layer_weights: list[float]
    """Of the encoder's layers."""
    mean_length: float
    """Of the training sequences: words, vectors of speech and special tokens."""


def finetune_with_speech(
    examples: pd.DataFrame,
    frames: FramesById,
    model_folder: Path,
    *,
    lm: LanguageModel,
    reduction: int,
    reads_text: bool,
    transcription: Transcription | None,
    settings: Finetune,
    criterion: Criterion,
    seed: int,
    threads: int = 1,
    settled: Settled | None = None,
) -> SpeechFinetuning:
    """Train on the training rows, keep the epoch that is best on the validation rows, save it.

    The adapter itself is returned, not saved.

    Parameters
    ----------
    examples
        Columns `id`, `label`, `split`, `text` (which stage 1 reads even where the task does not),
        and with a schedule `phase` and `speech`; test rows are not looked at.
    frames
        Of all of them.
    reads_text
        Whether the task is learned from words as well.
    transcription
        None starts with the task.
    settings
        Of the task; its batches and low-rank updates are those of all stages.
    criterion, model_folder, seed, threads, settled
        As of `finetuning.finetune`.

    Raises
    ------
    InputError
        If the model cannot be loaded, a split has no rows, or none can be transcribed.
    """
    started = time.perf_counter()
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, settings, settled)
    with computing(threads, seed):
        tokenizer = load_tokenizer(lm)
        classifier = load_model(
            lm, AutoModelForSequenceClassification, seed=seed, **head_options(classes)
        )
        classifier.model.config.pad_token_id = tokenizer.pad_token_id
        reader = _new_reader(examples, frames, classifier, reduction)
        encoded = _encoded(examples, reader, tokenizer, lm.max_length, reads_text)
        reading = _reading(reader, settings)
        task = classification_task(encoded, classes, reading, settings, criterion, seed, settled)
        stages = _Stages(lm, settings, model_folder / CHECKPOINT, seed)
        updated = _with_updates(examples, reader, classifier, tokenizer, transcription, stages)
        for parameter in head_parameters(classifier):
            parameter.requires_grad_(True)
        scores = scores_of_epochs(stages.train("task", reader, task), task)
        n_learned = n_trainable(reader)
        reader.lm = updated.merge_and_unload()
        threshold = None
        if settings.decision_threshold == "tuned":
            threshold = chosen_threshold(encoded, classes, reading, criterion, settled)
            reader.lm.config.decision_threshold = threshold
        save(reader.lm, tokenizer, model_folder)
    log, seconds = pd.concat(stages.logs, ignore_index=True), time.perf_counter() - started
    result = FinetuneResult(log, scores, seconds, peak_memory_mb(), threshold, n_learned)
    lengths = encoded.loc[encoded["split"] == "train", "input_ids"].map(len)
    state = {name: tensor.cpu() for name, tensor in reader.adapter.state_dict().items()}
    weights = reader.adapter.layer_weights.tolist()
    return SpeechFinetuning(result, state, weights, float(lengths.mean()))


def encoded_with_speech(
    examples: pd.DataFrame, reader: SpeechReader, tokenizer: PreTrainedTokenizerBase, longest: int
) -> pd.DataFrame:
    """What `SpeechReader.inputs` reads of examples, beside their own columns.

    Parameters
    ----------
    examples
        Columns `id` and `text` (None for none), and where some are without speech, `speech`.
    """
    n_vectors = examples["id"].map(reader.n_vectors)
    if "speech" in examples:
        n_vectors = n_vectors.where(examples["speech"], 0)
    numbers = {name: number for number, name in enumerate(reader.names)}
    rows = examples.assign(n_vectors=n_vectors, number=examples["id"].map(numbers))
    encoded = encode_beside_speech(tokenizer, rows, longest)
    return rows.assign(**{name: encoded[name] for name in encoded})


def _reading(reader: SpeechReader, settings: Finetune) -> Reading:
    def batches(
        rows: pd.DataFrame, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        lengths = rows["input_ids"].map(len).to_numpy()
        return [
            (batch, reader.inputs(rows.iloc[batch]))
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def logits(model: SpeechReader, batch: Batch) -> torch.Tensor:
        return model.logits(batch)

    return Reading(
        batches,
        logits,
        lambda rows: reader.class_probabilities(rows, settings.part_size),
        lambda rows: rows["input_ids"].tolist(),
        tuple(name for name in PADDED if name != "labels"),
    )


@dataclass(frozen=True)
class _Stages:
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


def _with_updates(
    examples: pd.DataFrame,
    reader: SpeechReader,
    classifier: LoadedModel,
    tokenizer: PreTrainedTokenizerBase,
    transcription: Transcription | None,
    stages: _Stages,
) -> torch.nn.Module:
    """The classifier with low-rank updates, it and the adapter having learned to transcribe."""
    classifier.model.requires_grad_(False)
    if transcription:
        transcriber, task = _transcriber(examples, reader, tokenizer, transcription, stages)
        rate = {"learning_rate": transcription.learning_rate}
        stages.train("transcription", transcriber, task, epochs=transcription.epochs, **rate)
    # The updates are drawn alike whether or not anything was trained before.
    torch.manual_seed(stages.seed)
    updated = with_lora(classifier.model, stages.settings.lora)
    if transcription and transcription.warm_up_epochs:
        stages.train("warm_up", transcriber, task, epochs=transcription.warm_up_epochs, **rate)
    return updated


def _transcriber(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    transcription: Transcription,
    stages: _Stages,
) -> tuple[SpeechReader, Task]:
    """The reader with the head that the language model was trained with, and what it learns."""
    lm, kind = stages.lm, objective(stages.lm)
    auto_class = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    loaded = load_model(lm, auto_class, seed=stages.seed)
    transcriber = reader.with_model(with_body_of(loaded, reader.lm))
    rows = examples[examples["split"] == "train"].drop_duplicates("id")
    # A schedule is one of the task.
    rows = rows.drop(columns="speech", errors="ignore")
    task = transcription_task(
        encoded_with_speech(rows, transcriber, tokenizer, lm.max_length),
        transcriber,
        tokenizer,
        kind,
        mask_probability=transcription.mask_probability,
        batch_size=stages.settings.batch_size,
        seed=stages.seed,
    )
    return transcriber, task


def _new_reader(
    examples: pd.DataFrame, frames: FramesById, classifier: LoadedModel, reduction: int
) -> SpeechReader:
    """One whose adapter is untrained, for features as the training rows have them."""
    learned = examples.loc[examples["split"] == "train", "id"].drop_duplicates()
    mean, spread = standardisation(frames.read(name) for name in learned)
    embeddings = classifier.model.get_input_embeddings().weight
    adapter = SpeechAdapter(*mean.shape, embeddings.shape[1], reduction)
    adapter.start(mean, spread, float(embeddings.detach().std()))
    names = examples["id"].drop_duplicates().tolist()
    return SpeechReader(classifier.model, adapter, frames, names)


def _encoded(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    longest: int,
    reads_text: bool,
) -> pd.DataFrame:
    rows = examples if reads_text else examples.assign(text=None)
    encoded = encoded_with_speech(rows, reader, tokenizer, longest)
    return encoded.assign(class_index=examples["label"].map(reader.lm.config.label2id))
