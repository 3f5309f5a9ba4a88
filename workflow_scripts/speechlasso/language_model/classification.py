"""The task: tell classes apart, whatever it is that a language model reads of an example."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from speechlasso.errors import InputError
from speechlasso.evaluation.decision import Threshold, tuned_threshold
from speechlasso.evaluation.inner_folds import record
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.settings import Finetune
from speechlasso.training.devices import best_device, peak_memory_mb
from speechlasso.training.loop import Batch, Task


@dataclass(frozen=True)
class Settled:
    """What inner folds have settled for a fit that has no validation rows."""

    epochs: int
    """Epochs to train, of those for which the learning rate is scheduled."""
    validation: pd.DataFrame | None = None
    """Predictions of the inner folds' validation rows, to tune a threshold on."""


@dataclass(frozen=True)
class Reading:
    """How a model reads examples."""

    batches: Callable[[pd.DataFrame, np.random.Generator], list[tuple[np.ndarray, Batch]]]
    """Of an epoch: the positions of each batch's examples among the given rows, and what the model
    reads of them."""
    log_p: Callable[[torch.nn.Module, Batch], torch.Tensor]
    """Logarithm of the probability of each example's class, whose index is in the batch's `labels`,
    (n_examples,); see `log_p_of_class`."""
    probabilities: Callable[[pd.DataFrame], np.ndarray]
    """Of the model as it stands, (n_examples, n_classes)."""
    fingerprint: Callable[[pd.DataFrame], list[np.ndarray]]
    """What it reads of rows to validate on."""
    padded_tensors: tuple[str, ...] = ("input_ids", "attention_mask")
    """See `Task.padded_tensors`."""


@dataclass(frozen=True)
class FinetuneResult:
    """What became of a training on the task, and what it cost."""

    log: pd.DataFrame
    """Columns epoch, train_loss, the scores on validation rows (`Criterion.scores`), seconds,
    best."""
    validation: dict[float, float]
    """The score that chooses, of each epoch that it can choose."""
    classes: list[str]
    decision_threshold: Threshold | None
    """None predicts the likeliest class."""
    train_seconds: float
    peak_memory_mb: float
    trainable_parameters: int
    mean_sequence_length: float
    """Positions that are read for a training example, on average, before `finetune.splice` and
    `finetune.token_dropout` change any."""

    @classmethod
    def measured(
        cls, started: float, n_learned: int, lengths: Sequence[int], *found: Any, **besides: Any
    ) -> Self:
        """Of a training that began at `started` (`time.perf_counter`) and ends now.

        Parameters
        ----------
        n_learned
            Parameters.
        lengths
            Of what is read for each training example.
        found, besides
            The fields before those of its costs, and those of a subclass.
        """
        seconds, mean = time.perf_counter() - started, float(np.mean(lengths))
        return cls(*found, seconds, peak_memory_mb(), n_learned, mean, **besides)

    def told(self, criterion: Criterion) -> dict[str, Any]:
        """What training.json says of it."""
        others = ("log", "validation", "classes")
        told = {name: value for name, value in vars(self).items() if name not in others}
        return told | record(criterion, self.validation)


def classification_task(
    examples: pd.DataFrame,
    classes: list[str],
    reading: Reading,
    settings: Finetune,
    criterion: Criterion,
    seed: int,
    settled: Settled | None,
) -> Task:
    """Training on the classes of the training rows; validation rows choose the epoch.

    Parameters
    ----------
    examples
        Columns `split` and `class_index`, with a schedule `phase`, and what `reading` asks for.
    settled
        In place of validation rows.
    """
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
        targets = _targets(rows)
        return [
            batch | {"labels": torch.from_numpy(targets[of])}
            for of, batch in reading.batches(rows, rng)
        ]

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        log_p = reading.log_p(model, batch)
        return classification_loss(log_p, weights[batch["labels"]], settings.focal_gamma)

    def total_weight(batch: Batch) -> float:
        return float(weights[batch["labels"]].sum())

    def validate(_: torch.nn.Module) -> dict[str, float]:
        return criterion.scores(validation_targets, reading.probabilities(validation), classes)

    return Task(
        batches,
        loss,
        total_weight,
        None if settled else validate,
        metric=criterion.metric,
        greater_is_better=criterion.card.larger_is_better,
        untrained_is_candidate=False,
        epochs_before_candidates=-(-settings.epochs * (len(phases) - 1) // len(phases)),
        validation_rows=[*reading.fingerprint(validation), validation_targets],
        stop_after=settled and settled.epochs,
        padded_tensors=reading.padded_tensors,
    )


def log_p_of_class(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Logarithm of the probability of each example's class, float32 (n,).

    Parameters
    ----------
    logits
        (n, n_classes).
    labels
        int64 (n,).
    """
    return logits.float().log_softmax(dim=1).gather(1, labels[:, None]).squeeze(1)


def classification_loss(
    log_p: torch.Tensor, weights: torch.Tensor, focal_gamma: float
) -> torch.Tensor:
    """Sum over examples of -w (1 - p)^gamma log p, p being the probability of the example's class.

    The focal loss of Lin et al., arXiv 1708.02002, section 3.2; with gamma 0 it is cross-entropy.

    Parameters
    ----------
    log_p
        float32 (n,).
    weights
        w of each example's class, float32 (n,).
    """
    # 1 - p as expm1 keeps its digits, and a floor keeps the power's slope finite.
    doubt = (-torch.expm1(log_p)).clamp_min(torch.finfo(torch.float32).tiny)
    return -(weights * doubt**focal_gamma * log_p).sum()


def class_weights(class_index: np.ndarray, n_classes: int) -> np.ndarray:
    """n / (present classes * n_c) for each class c of the training rows; float32, (n_classes,)."""
    counts = np.bincount(class_index, minlength=n_classes)
    # A class without training rows has no weight to give: its value is never used.
    n_present = np.count_nonzero(counts)
    return (len(class_index) / (n_present * np.maximum(counts, 1))).astype(np.float32)


def learned_classes(
    examples: pd.DataFrame, settings: Finetune, settled: Settled | None
) -> list[str]:
    """Names of the classes, sorted.

    Raises
    ------
    InputError
        If a split has no rows, or a threshold is to be tuned for other than two classes.
    """
    for split in ["train"] if settled else ["train", "validation"]:
        if not (examples["split"] == split).any():
            raise InputError(
                f"fine-tuning needs {split} rows, but there are none; change dataset.folds"
            )
    # A class that only validation rows have is one that the model cannot learn, no error here.
    classes = sorted(set(examples["label"]))
    if settings.decision_threshold == "tuned" and len(classes) != 2:
        raise InputError(
            "finetune.decision_threshold: tuned is for two classes, but these data have "
            f"{len(classes)}; set it to half"
        )
    return classes


def head_options(classes: list[str]) -> dict[str, object]:
    """What tells `from_pretrained` of the classification head."""
    return {
        # A classifier of other classes keeps all but its head.
        "ignore_mismatched_sizes": True,
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: index for index, name in enumerate(classes)},
    }


def scores_of_epochs(log: pd.DataFrame, task: Task) -> dict[int, float]:
    """The score of each epoch that might have been kept; none without validation."""
    if task.validate is None:
        return {}
    candidates = log[log["epoch"] > task.epochs_before_candidates]
    return candidates.set_index("epoch")[task.metric].to_dict()


def training_lengths(examples: pd.DataFrame) -> pd.Series:
    """Positions that are read for each training example, of those in the column `input_ids`."""
    return examples.loc[examples["split"] == "train", "input_ids"].map(len)


def chosen_threshold(
    examples: pd.DataFrame,
    classes: list[str],
    reading: Reading,
    settings: Finetune,
    criterion: Criterion,
    settled: Settled | None,
) -> Threshold | None:
    """The decision threshold that is best on validation rows; None unless one is to be tuned.

    It is one for the positive label or, without one, for the class that is rarer in training.
    """
    if settings.decision_threshold != "tuned":
        return None
    if settled:
        validation = settled.validation
    else:
        rows = examples[examples["split"] == "validation"]
        validation = predictions_frame(rows, reading.probabilities(rows), classes)
    counts = examples.loc[examples["split"] == "train", "label"].value_counts()
    probabilities = validation[[f"p_{name}" for name in classes]].to_numpy()
    labels = validation["label"].map(classes.index).to_numpy()

    def score(predicted: np.ndarray) -> float:
        return criterion.utility(criterion.score(labels, probabilities, classes, predicted))

    positive = criterion.positive_label or counts.index[-1]
    return tuned_threshold(probabilities, classes, positive, score)


def _targets(rows: pd.DataFrame) -> np.ndarray:
    return rows["class_index"].to_numpy(dtype=np.int64)
