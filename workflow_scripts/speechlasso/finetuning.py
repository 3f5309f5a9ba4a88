"""Fine-tune a language model to classify token texts.

Source: "A Simple Method to Enhance Pre-trained Language Models with Speech Tokens for
Classification" (arXiv 2512.07571), section on fine-tuning. LoRA: arXiv 2106.09685.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.batching import length_grouped_batches, model_inputs
from speechlasso.config import Finetune, LanguageModel, LoRA, Metric
from speechlasso.encoding import encode
from speechlasso.errors import InputError
from speechlasso.evaluation import classification_scores
from speechlasso.language_model import (
    LoadedModel,
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    set_rows,
)
from speechlasso.new_row_training import with_trainable_rows
from speechlasso.prediction import class_probabilities
from speechlasso.token_rows import TokenRows
from speechlasso.token_text import new_token_names
from speechlasso.training import Batch, Task, best_device, computing, peak_memory_mb, train


@dataclass(frozen=True)
class FinetuneResult:
    log: pd.DataFrame
    """Columns epoch, train_loss, accuracy, macro_f1, uar, positive_f1, loss (all on validation
    rows), seconds, best."""
    train_seconds: float
    peak_memory_mb: float


def finetune(
    examples: pd.DataFrame,
    model_folder: Path,
    *,
    lm: LanguageModel,
    settings: Finetune,
    metric: Metric,
    positive_label: str | None,
    n_audio_tokens: int | None,
    token_rows: TokenRows | None,
    seed: int,
    threads: int,
    checkpoint_folder: Path,
) -> FinetuneResult:
    """Train on the training rows, keep the epoch that is best on the validation rows, save it.

    Parameters
    ----------
    examples
        Columns `id`, `label`, `split`, `text` and `audio_tokens`; test rows are not looked at.
    model_folder
        Gets the model and its tokenizer as `transformers` saves them: they load with
        `AutoModelForSequenceClassification` and `AutoTokenizer`, without this package.
    metric, positive_label
        The validation score that chooses the epoch, and the class that positive_f1 is about.
    n_audio_tokens
        Size of the selection; None for text alone, which adds nothing to the vocabulary.
    token_rows
        Adapted rows of the new tokens to start from; None starts from the mean row and noise.
    seed
        Draws the classification head, rows that are not adapted, batches and dropout.
    threads
        Processor threads to compute with.
    checkpoint_folder
        Where a long run leaves what it needs to go on after a stop.

    Raises
    ------
    InputError
        If the model cannot be loaded or extended, rows do not fit it, or a split has no rows.
    """
    started = time.perf_counter()
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = _classes(examples)
    with computing(threads, seed):
        tokenizer = load_tokenizer(lm)
        loaded = load_model(
            lm,
            AutoModelForSequenceClassification,
            seed=seed,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={name: index for index, name in enumerate(classes)},
        )
        loaded.model.config.pad_token_id = tokenizer.pad_token_id
        token_ids = _new_tokens(tokenizer, loaded.model, n_audio_tokens, token_rows, seed)
        encoded = examples.assign(
            input_ids=encode(tokenizer, examples, lm.max_length)["input_ids"],
            class_index=examples["label"].map(loaded.model.config.label2id),
        )
        model = _trainable(loaded, token_ids, settings)
        log = train(
            model,
            _task(loaded.model, encoded, classes, settings, metric, positive_label, seed),
            settings,
            weight_decay=settings.weight_decay,
            precision=lm.precision,
            seed=seed,
            checkpoint_folder=checkpoint_folder,
            title="finetune",
        )
        _plain(model).save_pretrained(model_folder)
        tokenizer.save_pretrained(model_folder)
    return FinetuneResult(log, time.perf_counter() - started, peak_memory_mb())


def class_weights(class_index: np.ndarray, n_classes: int) -> np.ndarray:
    """n / (present classes * n_c) for each class c of the training rows; float32, (n_classes,)."""
    counts = np.bincount(class_index, minlength=n_classes)
    # A class without training rows has no weight to give: its value is never used.
    n_present = np.count_nonzero(counts)
    return (len(class_index) / (n_present * np.maximum(counts, 1))).astype(np.float32)


def _classes(examples: pd.DataFrame) -> list[str]:
    for split in ("train", "validation"):
        if not (examples["split"] == split).any():
            raise InputError(
                f"fine-tuning needs {split} rows, but there are none; change dataset.folds"
            )
    # A class that only validation rows have is one the model is bound to miss, not an error.
    return sorted(set(examples["label"]))


def _new_tokens(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    n_audio_tokens: int | None,
    token_rows: TokenRows | None,
    seed: int,
) -> list[int]:
    if n_audio_tokens is None:
        return []
    token_ids = extend_with_audio_tokens(tokenizer, model, n_audio_tokens, seed=seed)
    if token_rows is not None:
        if token_rows.names != new_token_names(n_audio_tokens):
            raise InputError(
                f"the adapted rows are of {len(token_rows.names)} tokens, but this selection needs "
                f"{len(token_ids)}; adapt the model to this selection"
            )
        set_rows(model, token_ids, token_rows.vectors)
    return token_ids


def _trainable(loaded: LoadedModel, token_ids: list[int], settings: Finetune) -> torch.nn.Module:
    """The model with the parameters trainable that the method trains.

    The classification head and the new tokens' rows always are.
    """
    if settings.method == "full":
        return loaded.model
    if settings.method == "lora":
        return _with_lora(loaded, token_ids, settings.lora)
    if token_ids:
        return with_trainable_rows(loaded.model, token_ids, also=loaded.newly_initialised)
    loaded.model.requires_grad_(False)
    for parameter in loaded.newly_initialised:
        parameter.requires_grad_(True)
    return loaded.model


def _with_lora(loaded: LoadedModel, token_ids: list[int], lora: LoRA) -> torch.nn.Module:
    # Importing peft takes seconds, and full fine-tuning never needs it.
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        trainable_token_indices=token_ids or None,
    )
    try:
        model = get_peft_model(loaded.model, config)
    except ValueError as error:
        raise InputError(f"finetune.lora.targets: {error}") from error
    for parameter in loaded.newly_initialised:
        parameter.requires_grad_(True)
    return model


def _plain(model: torch.nn.Module) -> PreTrainedModel:
    """The model with peft's updates merged into its weights."""
    return model if isinstance(model, PreTrainedModel) else model.merge_and_unload()


def _task(
    classifier: PreTrainedModel,
    examples: pd.DataFrame,
    classes: list[str],
    settings: Finetune,
    metric: Metric,
    positive_label: str | None,
    seed: int,
) -> Task:
    rows, validation = (examples[examples["split"] == split] for split in ("train", "validation"))
    sequences = rows["input_ids"].tolist()
    lengths = np.array([len(ids) for ids in sequences])
    targets, validation_targets = (
        part["class_index"].to_numpy(dtype=np.int64) for part in (rows, validation)
    )
    weights = None
    if settings.class_weights == "balanced":
        weights = torch.from_numpy(class_weights(targets, len(classes))).to(best_device())

    def batches(epoch: int) -> list[Batch]:
        rng = np.random.default_rng([seed, epoch])
        return [
            model_inputs([sequences[row] for row in batch], classifier.config.pad_token_id)
            | {"labels": torch.from_numpy(targets[batch])}
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return F.cross_entropy(logits.float(), batch["labels"], weight=weights)

    def validate(_: torch.nn.Module) -> dict[str, float]:
        probabilities = class_probabilities(
            classifier, validation["input_ids"].tolist(), settings.batch_size
        )
        return classification_scores(validation_targets, probabilities, classes, positive_label)

    return Task(
        batches,
        loss,
        validate,
        metric=metric,
        greater_is_better=True,
        untrained_is_candidate=False,
        dropout=True,
    )
