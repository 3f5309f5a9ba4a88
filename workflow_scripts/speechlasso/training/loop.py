"""The training loop that adaptation and fine-tuning share.

AdamW on the parameters that are trainable, a linear schedule with warm-up, early stopping and the
best weights restored at the end, or a set number of epochs without validation. transformers'
Trainer restores the best weights too, but only from a checkpoint of model and optimizer that it
writes every epoch (270 MB for the default model). Here the best weights stay in memory, and a
checkpoint, of trainable parameters alone, is written only when some minutes of work would be lost
without it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from speechlasso.errors import InputError, is_out_of_memory
from speechlasso.training.batching import split_batch
from speechlasso.training.checkpoint_file import open_checkpoint, write_checkpoint
from speechlasso.training.devices import Precision, autocast, on_device, to_best_device
from speechlasso.training.processes import (
    n_processes,
    of_first_process,
    process_number,
    sum_over_processes,
)
from speechlasso.training.settings import Training

logger = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]

SECONDS_BETWEEN_CHECKPOINTS = 300.0
LARGEST_GRADIENT_NORM = 1.0
NUMBERS_IN_FINGERPRINT = 2**20
"""Of each tensor of weights, at most."""


@dataclass(frozen=True)
class Task:
    """What one kind of training consists of."""

    batches: Callable[[int], list[Batch]]
    """The batches of an epoch (counted from 1): the same ones whenever it is asked for again."""
    loss: Callable[[nn.Module, Batch], torch.Tensor]
    """Sum of a batch's losses, a scalar."""
    weight: Callable[[Batch], float]
    """What that sum is divided by: the number of predictions, or the sum of their weights."""
    validate: Callable[[nn.Module], dict[str, float]] | None
    """Scores of the model as it stands, by name; None where there is nothing to score it on."""
    metric: str
    """The score that chooses the best epoch."""
    greater_is_better: bool
    untrained_is_candidate: bool
    """Whether the weights at the start may turn out as the best ones."""
    epochs_before_candidates: int = 0
    """After which an epoch may be the best one and patience counts, as other examples follow."""
    validation_rows: Sequence[np.ndarray] = ()
    """What `validate` reads: a checkpoint of a run with other rows is not taken up."""
    stop_after: int | None = None
    """Without `validate`, the epoch whose weights are kept: the schedule stays that of all epochs,
    and the rest of them is left out."""
    padded_tensors: tuple[str, ...] = ()
    """Tensors of a batch, (n, longest text), that are padded as its `attention_mask` tells."""


@dataclass
class Progress:
    """All that changes while a model is trained, besides weights, moments and random numbers."""

    epoch: int = 0
    best_epoch: int = 0
    best_score: float | None = None
    log: list[dict[str, float]] = field(default_factory=list)


def train(
    model: nn.Module,
    task: Task,
    settings: Training,
    *,
    weight_decay: float,
    rate_of: Callable[[str], float] = lambda name: 1.0,
    precision: Precision,
    seed: int,
    checkpoint_folder: Path,
    title: str,
) -> pd.DataFrame:
    """Train a model's trainable parameters in place, and leave it with its best weights.

    A run that was stopped goes on from its checkpoint, and ends with the same weights as one that
    was not.

    Parameters
    ----------
    rate_of
        From a parameter's name to its learning rate, in multiples of `settings.learning_rate`.
    checkpoint_folder
        Gets the checkpoint `<title>.safetensors`, which is of use until the weights are saved.

    Returns
    -------
    pandas.DataFrame
        A row per epoch: `epoch`, `train_loss`, what `task.validate` (if any) returns, `seconds` (of
        that epoch), and `best` (bool, the epoch whose weights were kept). With
        `task.untrained_is_candidate` the first row, epoch 0, is the model before training.

    Raises
    ------
    InputError
        If the loss stops being a number.
    """
    device = to_best_device(model)
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable()
    optimizer = _optimizer(model, settings.learning_rate, weight_decay, rate_of)
    run = _Run(model, task, settings, optimizer, autocast(precision, device), device)
    checkpoint = Checkpoint(checkpoint_folder / f"{title}.safetensors")
    checkpoint.restore(run)
    if run.progress.epoch == 0 and not run.progress.log and task.untrained_is_candidate:
        run.finish_epoch(train_loss=float("nan"), started=time.perf_counter())
    steps = run.last_epoch * run.steps_per_epoch
    done = run.progress.epoch * run.steps_per_epoch
    is_first = process_number() == 0
    bar_options = {"desc": title, "unit": "step", "mininterval": 1, "disable": not is_first}
    with tqdm(total=steps, initial=done, **bar_options) as bar:
        while not run.is_finished():
            run.train_epoch(seed, bar)
            if is_first:
                checkpoint.save_if_due(run)
    run.restore_best()
    log = pd.DataFrame(run.progress.log)
    return log.assign(best=log["epoch"] == run.progress.best_epoch)


class _Run:
    """A model in training."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        settings: Training,
        optimizer: torch.optim.Optimizer,
        context: torch.autocast,
        device: torch.device,
    ) -> None:
        self.model, self.task, self.settings = model, task, settings
        self.optimizer, self.context, self.device = optimizer, context, device
        self.part_size = settings.part_size
        self.trainable = dict(_trainable(model))
        first_epoch = task.batches(1)
        self.steps_per_epoch = len(first_epoch)
        self.last_epoch = task.stop_after or settings.epochs
        self.fingerprint = _fingerprint(settings, first_epoch, task, model)
        self.progress = Progress()
        self.best = self.copied_weights()

    def copied_weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self.trainable.items()}

    def is_finished(self) -> bool:
        epoch, best = self.progress.epoch, self.progress.best_epoch
        since = max(best, self.task.epochs_before_candidates, self.last_unmoved_epoch())
        return epoch >= self.last_epoch or epoch - since >= self.settings.patience

    def last_unmoved_epoch(self) -> int:
        """Until when the score stayed what it was at first: one class for all, often, with which
        fine-tuning on few rows can start (Mosbach et al. 2021). Until then patience waits."""
        log, metric = self.progress.log, self.task.metric
        same = takewhile(lambda epoch: epoch.get(metric) == log[0].get(metric), log)
        return max((int(epoch["epoch"]) for epoch in same), default=0)

    def train_epoch(self, seed: int, bar: tqdm) -> None:
        started = time.perf_counter()
        progress = self.progress
        progress.epoch += 1
        # Fresh random numbers each epoch: a resumed run draws what an unbroken one draws.
        torch.manual_seed(_epoch_seed(seed, progress.epoch) + process_number())
        self.model.train()
        total = 0.0
        batches = self.task.batches(progress.epoch)
        for number, batch in enumerate(batches):
            total += self.step(on_device(batch, self.device), number)
            bar.update()
        self.finish_epoch(total / len(batches), started)
        if self.task.validate:
            bar.set_postfix({self.task.metric: progress.log[-1][self.task.metric]})

    def step(self, batch: Batch, number: int) -> float:
        done = (self.progress.epoch - 1) * self.steps_per_epoch + number
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * _rate(
                done, self.settings.epochs * self.steps_per_epoch, self.settings.warmup_share
            )
        loss = self.backward(batch)
        torch.nn.utils.clip_grad_norm_(self.trainable.values(), LARGEST_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def backward(self, batch: Batch) -> float:
        """Accumulate the gradients of a batch's mean loss over all processes; return the loss."""
        share = {name: tensor[process_number() :: n_processes()] for name, tensor in batch.items()}
        loss = sum_over_processes(self.backward_of_share(share, self.task.weight(batch)))
        if n_processes() > 1:
            for parameter in self.trainable.values():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                sum_over_processes(parameter.grad)
        return loss.item()

    def backward_of_share(self, share: Batch, total_weight: float) -> torch.Tensor:
        """Part by part. When memory does not suffice, the parts are halved for good."""
        while True:
            try:
                total = torch.zeros((), device=self.device)
                for part in split_batch(share, self.part_size, self.task.padded_tensors):
                    total += self.backward_of_part(part, total_weight)
                return total
            except Exception as error:
                if not is_out_of_memory(error) or self.part_size == 1:
                    raise
            # Outside of the handler: its traceback holds the frame with the failed pass's tensors.
            self.optimizer.zero_grad()
            self.part_size = -(-self.part_size // 2)
            logger.warning("out of memory: going on with %d examples at a time", self.part_size)
            torch.cuda.empty_cache()

    def backward_of_part(self, part: Batch, total_weight: float) -> torch.Tensor:
        with self.context:
            loss = self.task.loss(self.model, part) / total_weight
        loss.backward()
        return loss.detach()

    def finish_epoch(self, train_loss: float, started: float) -> None:
        """Validate, write the log, and keep the weights if they are the best so far; without
        validation the last ones are."""
        progress = self.progress
        if progress.epoch > 0 and not np.isfinite(train_loss):
            raise InputError(
                f"training diverged in epoch {progress.epoch} (loss {train_loss}): lower "
                f"learning_rate, now {self.settings.learning_rate}"
            )
        scores = self.scores()
        seconds = time.perf_counter() - started
        progress.log.append(
            {"epoch": progress.epoch, "train_loss": train_loss, **scores, "seconds": seconds}
        )
        score = scores.get(self.task.metric)
        if self.is_best_so_far(score):
            progress.best_epoch, progress.best_score = progress.epoch, score
            for name, weight in self.trainable.items():
                self.best[name].copy_(weight.detach())

    def scores(self) -> dict[str, float]:
        if self.task.validate is None:
            return {}
        self.model.eval()
        with torch.no_grad(), self.context:
            # Rank 0's scores, so that all processes stop together.
            return of_first_process(self.task.validate(self.model))

    def is_best_so_far(self, score: float | None) -> bool:
        progress = self.progress
        if score is None:
            return True
        if 0 < progress.epoch <= self.task.epochs_before_candidates:
            return False
        if progress.best_score is None:
            return True
        is_greater = score > progress.best_score
        return is_greater if self.task.greater_is_better else score < progress.best_score

    @torch.no_grad()
    def restore_best(self) -> None:
        for name, weight in self.trainable.items():
            weight.copy_(self.best[name])


class Checkpoint:
    """A training run on disk: weights, best weights and AdamW's moments in one safetensors file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_saved = time.monotonic()

    def save_if_due(self, run: _Run) -> None:
        is_due = time.monotonic() - self.last_saved >= SECONDS_BETWEEN_CHECKPOINTS
        if not is_due or run.is_finished():
            return
        tensors = {}
        for name, weight in run.trainable.items():
            tensors[f"weight/{name}"] = weight.detach()
            tensors[f"best/{name}"] = run.best[name]
            for moment, value in run.optimizer.state[weight].items():
                tensors[f"{moment}/{name}"] = value
        facts = {"progress": json.dumps(vars(run.progress)), "fingerprint": run.fingerprint}
        write_checkpoint(self.path, tensors, facts)
        self.last_saved = time.monotonic()

    @torch.no_grad()
    def restore(self, run: _Run) -> None:
        """Set a run back to where its checkpoint stands; without a whole one, leave it as it is."""
        opened = open_checkpoint(self.path)
        if opened is None:
            return
        with opened as file:
            if file.metadata()["fingerprint"] != run.fingerprint:
                logger.info("%s is of other data or settings: starting afresh", self.path)
                return
            run.progress = Progress(**json.loads(file.metadata()["progress"]))
            names = set(file.keys())
            for name, weight in run.trainable.items():
                weight.copy_(file.get_tensor(f"weight/{name}"))
                run.best[name] = file.get_tensor(f"best/{name}").to(weight.device)
                run.optimizer.state[weight] = {
                    moment: file.get_tensor(f"{moment}/{name}").to(weight.device)
                    for moment in ("step", "exp_avg", "exp_avg_sq")
                    # Weights that no loss has reached yet have none.
                    if f"{moment}/{name}" in names
                }
        logger.info("going on after epoch %d from %s", run.progress.epoch, self.path)


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return (named for named in model.named_parameters() if named[1].requires_grad)


def _optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float, rate_of: Callable[[str], float]
) -> torch.optim.AdamW:
    """AdamW that decays matrices, but not biases and the scales of normalisation."""
    groups = defaultdict(list)
    for name, weight in _trainable(model):
        groups[rate_of(name), weight_decay if weight.ndim > 1 else 0.0].append(weight)
    return torch.optim.AdamW(
        [
            {"params": weights, "peak_lr": rate * learning_rate, "weight_decay": decay}
            for (rate, decay), weights in groups.items()
        ],
        fused=True,
    )


def _rate(step: int, n_steps: int, warmup_share: float) -> float:
    """Share of the peak learning rate at a step: linear rise, then linear fall to zero."""
    n_warmup = warmup_share * n_steps
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    return (n_steps - step) / (n_steps - n_warmup)


def _fingerprint(settings: Training, batches: list[Batch], task: Task, model: nn.Module) -> str:
    """Hash of what a run starts from, is trained and validated on, and how: only an equal run may
    take up its checkpoint."""
    digest = hashlib.sha256(settings.of_result().model_dump_json().encode())
    for batch in batches:
        for tensor in batch.values():
            digest.update(tensor.numpy().tobytes())
    for row in task.validation_rows:
        digest.update(row.tobytes())
    if task.stop_after:
        digest.update(f"stop after {task.stop_after}".encode())
    for name, weight in model.state_dict().items():
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        digest.update(_sample(weight).view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def _sample(weight: torch.Tensor) -> torch.Tensor:
    """All numbers of a tensor or, of a very large one, some from every row: billions of them would
    take minutes to hash."""
    step = max(1, -(-weight.numel() // NUMBERS_IN_FINGERPRINT))
    return weight.detach().reshape(-1)[::step].contiguous()


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
