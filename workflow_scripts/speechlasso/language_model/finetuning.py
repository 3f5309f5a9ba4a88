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
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.errors import InputError
from speechlasso.evaluation.decision import Threshold, tuned_threshold
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.files import give_ordinary_rights
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.lora import with_lora
from speechlasso.language_model.new_row_training import (
    is_new_rows,
    stop_training_new_rows,
    train_new_rows,
)
from speechlasso.language_model.prediction import class_probabilities
from speechlasso.language_model.pretrained import (
    LoadedModel,
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    set_rows,
)
from speechlasso.language_model.sequence_augmentation import with_audio_spliced, with_tokens_dropped
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.language_model.token_text import MARKERS, new_token_names
from speechlasso.language_model.vocabulary import vocabulary_digest
from speechlasso.training.batching import length_grouped_batches, model_inputs
from speechlasso.training.devices import best_device, computing, peak_memory_mb
from speechlasso.training.loop import Batch, Task, train
from speechlasso.training.processes import process_number
from speechlasso.training.settings import CHECKPOINT


@dataclass(frozen=True)
class FinetuneResult:
    log: pd.DataFrame
    """Columns epoch, train_loss, the scores on validation rows (`Criterion.scores`), seconds,
    best."""
    validation: dict[int, float]
    """The score that chooses, of each epoch that it can choose."""
    train_seconds: float
    peak_memory_mb: float
    decision_threshold: Threshold | None
    """None predicts the likeliest class."""


@dataclass(frozen=True)
class Settled:
    """What inner folds have settled for a fit that has no validation rows."""

    epochs: int
    """Epochs to train, of those for which the learning rate is scheduled."""
    validation: pd.DataFrame | None = None
    """Predictions of the inner folds' validation rows, to tune a threshold on."""


def finetune(
    examples: pd.DataFrame,
    model_folder: Path,
    *,
    lm: LanguageModel,
    settings: Finetune,
    criterion: Criterion,
    new_tokens: NewTokens | None = None,
    seed: int,
    threads: int = 1,
    settled: Settled | None = None,
) -> FinetuneResult:
    """Train on the training rows, keep the epoch that is best on the validation rows, save it.

    Without validation rows all is settled beforehand.

    Parameters
    ----------
    examples
        Columns `id`, `label`, `split`, `text` and `audio_tokens`, and with a schedule `phase`
        (`token_text.scheduled`); test rows are not looked at.
    model_folder
        Gets the model and its tokenizer as `transformers` saves them: they load with
        `AutoModelForSequenceClassification` and `AutoTokenizer`, without this package. While the
        training lasts, it also has what a stopped one needs to go on.
    criterion
        The validation score that chooses the epoch.
    new_tokens
        The selection's; None for text alone, which adds nothing to the vocabulary.
    seed
        Draws the classification head, rows that are not adapted, batches and dropout.
    threads
        Processor threads to compute with.
    settled
        In place of validation rows; their scores are then missing from the log.

    Raises
    ------
    InputError
        If the model cannot be loaded or extended, rows do not fit it, or a split has no rows.
    """
    started = time.perf_counter()
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = _classes(examples, ["train"] if settled else ["train", "validation"])
    if settings.decision_threshold == "tuned" and len(classes) != 2:
        raise InputError(
            "finetune.decision_threshold: tuned is for two classes, but these data have "
            f"{len(classes)}; set it to half"
        )
    with computing(threads, seed):
        tokenizer = load_tokenizer(lm)
        loaded = load_model(
            lm,
            AutoModelForSequenceClassification,
            seed=seed,
            # A classifier of other classes keeps all but its head.
            ignore_mismatched_sizes=True,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={name: index for index, name in enumerate(classes)},
        )
        loaded.model.config.pad_token_id = tokenizer.pad_token_id
        token_ids = _add(new_tokens, tokenizer, loaded.model, lm, seed)
        encoded = examples.assign(
            input_ids=encode(tokenizer, examples, lm.max_length)["input_ids"],
            class_index=examples["label"].map(loaded.model.config.label2id),
        )
        model = _trainable(loaded, token_ids, settings)
        audio_tokens = token_ids[len(MARKERS) :]
        task = _task(loaded.model, encoded, settings, criterion, audio_tokens, seed, settled)
        log = train(
            model,
            task,
            settings,
            weight_decay=settings.weight_decay,
            rate_of=lambda name: settings.new_rows_rate if is_new_rows(name) else 1.0,
            precision=lm.precision,
            seed=seed,
            checkpoint_folder=model_folder / CHECKPOINT,
            title="finetune",
        )
        classifier = _plain(loaded.model, model)
        if settings.decision_threshold == "tuned":
            classifier.config.decision_threshold = _threshold(
                settled.validation if settled else _validated(classifier, encoded, settings),
                encoded,
                classes,
                criterion,
            )
        classifier.config.vocabulary_sha256 = vocabulary_digest(tokenizer)
        if process_number() == 0:
            classifier.save_pretrained(model_folder)
            # safetensors makes its files private.
            give_ordinary_rights(model_folder / "model.safetensors")
            tokenizer.save_pretrained(model_folder)
    threshold = getattr(classifier.config, "decision_threshold", None)
    scores = {} if settled else _scores_of_epochs(log, task)
    return FinetuneResult(log, scores, time.perf_counter() - started, peak_memory_mb(), threshold)


def classification_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, focal_gamma: float
) -> torch.Tensor:
    """Sum over examples of -w (1 - p)^gamma log p, p being the probability of the example's class.

    The focal loss of Lin et al., arXiv 1708.02002, section 3.2; with gamma 0 it is cross-entropy.

    Parameters
    ----------
    logits
        (n, n_classes).
    labels
        int64 (n,).
    weights
        w of each class, float32 (n_classes,).
    """
    log_p = logits.float().log_softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
    # 1 - p as expm1 keeps its digits, and a floor keeps the power's slope finite.
    doubt = (-torch.expm1(log_p)).clamp_min(torch.finfo(torch.float32).tiny)
    return -(weights[labels] * doubt**focal_gamma * log_p).sum()


def class_weights(class_index: np.ndarray, n_classes: int) -> np.ndarray:
    """n / (present classes * n_c) for each class c of the training rows; float32, (n_classes,)."""
    counts = np.bincount(class_index, minlength=n_classes)
    # A class without training rows has no weight to give: its value is never used.
    n_present = np.count_nonzero(counts)
    return (len(class_index) / (n_present * np.maximum(counts, 1))).astype(np.float32)


def _classes(examples: pd.DataFrame, needed: list[str]) -> list[str]:
    for split in needed:
        if not (examples["split"] == split).any():
            raise InputError(
                f"fine-tuning needs {split} rows, but there are none; change dataset.folds"
            )
    # A class that only validation rows have is one that the model cannot learn, no error here.
    return sorted(set(examples["label"]))


def _add(
    new_tokens: NewTokens | None,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    lm: LanguageModel,
    seed: int,
) -> list[int]:
    """Extend the vocabulary; the ids of the markers and the audio tokens."""
    if new_tokens is None:
        return []
    n, rows = new_tokens.n, new_tokens.rows
    token_ids = extend_with_audio_tokens(
        tokenizer, model, n, start=lm.new_rows, centroids=new_tokens.centroids, seed=seed
    )
    if rows is not None:
        if rows.names != new_token_names(n):
            raise InputError(
                f"the adapted rows are of {len(rows.names)} tokens, but this selection needs "
                f"{len(token_ids)}; adapt the model to this selection"
            )
        set_rows(model, token_ids, rows.vectors)
    return token_ids


def _trainable(loaded: LoadedModel, token_ids: list[int], settings: Finetune) -> torch.nn.Module:
    """The model with the parameters trainable that the method trains.

    The classification head and the new tokens' rows always are.
    """
    model = loaded.model
    if settings.method == "full":
        # Rows within the matrix would learn at its rate.
        if token_ids and settings.new_rows_rate != 1:
            train_new_rows(model, token_ids)
        return model
    model.requires_grad_(False)
    if settings.method == "lora":
        model = with_lora(model, settings.lora)
    if token_ids:
        train_new_rows(loaded.model, token_ids)
    body = f"{loaded.model.base_model_prefix}."
    head = [p for name, p in loaded.model.named_parameters() if not name.startswith(body)]
    for parameter in (*head, *loaded.newly_initialised):
        parameter.requires_grad_(True)
    return model


def _plain(classifier: PreTrainedModel, model: torch.nn.Module) -> PreTrainedModel:
    """The classifier with all that was trained beside its weights merged into them."""
    stop_training_new_rows(classifier)
    return classifier if model is classifier else model.merge_and_unload()


def _scores_of_epochs(log: pd.DataFrame, task: Task) -> dict[int, float]:
    """The score of each epoch that might have been kept."""
    candidates = log[log["epoch"] > task.epochs_before_candidates]
    return candidates.set_index("epoch")[task.metric].to_dict()


def _validated(
    classifier: PreTrainedModel, examples: pd.DataFrame, settings: Finetune
) -> pd.DataFrame:
    """Predictions of the validation rows."""
    rows = examples[examples["split"] == "validation"]
    sequences = rows["input_ids"].tolist()
    probabilities = class_probabilities(classifier.eval(), sequences, settings.part_size)
    return predictions_frame(rows, probabilities, list(classifier.config.label2id))


def _threshold(
    validation: pd.DataFrame, examples: pd.DataFrame, classes: list[str], criterion: Criterion
) -> Threshold:
    """The decision threshold that is best on validation rows.

    It is one for the positive label or, without one, for the class that is rarer in training.
    """
    counts = examples.loc[examples["split"] == "train", "label"].value_counts()
    probabilities = validation[[f"p_{name}" for name in classes]].to_numpy()
    labels = validation["label"].map(classes.index).to_numpy()

    def score(predicted: np.ndarray) -> float:
        return criterion.utility(criterion.score(labels, probabilities, classes, predicted))

    positive = criterion.positive_label or counts.index[-1]
    return tuned_threshold(probabilities, classes, positive, score)


def _targets(rows: pd.DataFrame) -> np.ndarray:
    return rows["class_index"].to_numpy(dtype=np.int64)


def _task(
    classifier: PreTrainedModel,
    examples: pd.DataFrame,
    settings: Finetune,
    criterion: Criterion,
    audio_token_ids: list[int],
    seed: int,
    settled: Settled | None,
) -> Task:
    classes = list(classifier.config.label2id)
    rows, validation = (examples[examples["split"] == split] for split in ("train", "validation"))
    targets, validation_targets = map(_targets, (rows, validation))
    phases = [rows for _, rows in rows.groupby("phase")] if "phase" in rows else [rows]
    weights = np.ones(len(classes), dtype=np.float32)
    if settings.class_weights == "balanced":
        weights = class_weights(targets, len(classes))
    weights = torch.from_numpy(weights).to(best_device())

    def batches(epoch: int) -> list[Batch]:
        rng = np.random.default_rng([seed, epoch])
        rows = phases[(epoch - 1) * len(phases) // settings.epochs]
        sequences, targets = rows["input_ids"].tolist(), _targets(rows)
        heard = with_audio_spliced(sequences, targets, audio_token_ids, settings.splice, rng)
        heard = with_tokens_dropped(heard, audio_token_ids, settings.token_dropout, rng)
        lengths = np.array([len(ids) for ids in heard])
        return [
            model_inputs([heard[row] for row in batch], classifier.config.pad_token_id)
            | {"labels": torch.from_numpy(targets[batch])}
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return classification_loss(logits, batch["labels"], weights, settings.focal_gamma)

    def total_weight(batch: Batch) -> float:
        return float(weights[batch["labels"]].sum())

    def validate(_: torch.nn.Module) -> dict[str, float]:
        probabilities = class_probabilities(
            classifier, validation["input_ids"].tolist(), settings.part_size
        )
        return criterion.scores(validation_targets, probabilities, classes)

    return Task(
        batches,
        loss,
        total_weight,
        None if settled else validate,
        metric=criterion.metric,
        greater_is_better=criterion.card.larger_is_better,
        untrained_is_candidate=False,
        epochs_before_candidates=-(-settings.epochs * (len(phases) - 1) // len(phases)),
        validation_rows=[*validation["input_ids"], validation_targets],
        stop_after=settled and settled.epochs,
        padded_tensors=("input_ids", "attention_mask"),
    )
