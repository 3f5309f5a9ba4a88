"""Fine-tune a frozen language model that hears: first to transcribe, then to classify.

The task is learned by low-rank updates, the speech adapter and a classification head.
"""

from __future__ import annotations

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
    head_options,
    learned_classes,
    log_p_of_class,
)
from speechlasso.language_model.finetuning import head_parameters
from speechlasso.language_model.pretrained import load_model, load_tokenizer, objective
from speechlasso.language_model.settings import Finetune, LanguageModel, Transcription
from speechlasso.language_model.speech_curriculum import (
    SpeechFinetuning,
    Stages,
    new_reader,
    with_updates,
)
from speechlasso.language_model.speech_reader import PADDED, SpeechReader, encoded_with_speech
from speechlasso.language_model.transcription import transcription_task, with_body_of
from speechlasso.training.batching import length_grouped_batches
from speechlasso.training.devices import computing
from speechlasso.training.loop import Batch, Task


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
    stages = Stages(lm, settings, criterion, seed, settled, model_folder)
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, settings, settled)
    with computing(threads, seed):
        tokenizer = load_tokenizer(lm)
        classifier = load_model(
            lm, AutoModelForSequenceClassification, seed=seed, **head_options(classes)
        )
        classifier.model.config.pad_token_id = tokenizer.pad_token_id
        classifier.model.requires_grad_(False)
        reader = new_reader(examples, frames, classifier.model, reduction)
        encoded = _encoded(examples, reader, tokenizer, lm.max_length, reads_text)
        reading = _reading(reader, settings)
        transcriber, transcribing = reader, None
        if transcription:
            transcriber, transcribing = _transcriber(
                examples, reader, tokenizer, transcription, stages
            )
        updated = with_updates(
            classifier.model, transcriber, transcribing, transcription or Transcription(), stages
        )
        for parameter in head_parameters(classifier):
            parameter.requires_grad_(True)
        return stages.finish(reader, updated, tokenizer, encoded, classes, reading)


def _reading(reader: SpeechReader, settings: Finetune) -> Reading:
    def batches(
        rows: pd.DataFrame, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        lengths = rows["input_ids"].map(len).to_numpy()
        return [
            (batch, reader.inputs(rows.iloc[batch]))
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def log_p(model: SpeechReader, batch: Batch) -> torch.Tensor:
        return log_p_of_class(model.logits(batch), batch["labels"])

    return Reading(
        batches,
        log_p,
        lambda rows: reader.class_probabilities(rows, settings.part_size),
        lambda rows: rows["input_ids"].tolist(),
        tuple(name for name in PADDED if name != "labels"),
    )


def _transcriber(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    transcription: Transcription,
    stages: Stages,
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
