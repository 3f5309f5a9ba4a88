"""Fit the system `mfcc_lstm`, and open what was fitted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from speechlasso.evaluation.decision import Threshold
from speechlasso.evaluation.inner_folds import mean_scores, record
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.spectral_frames import N_SPECTRAL
from speechlasso.files import read_json, write_csv, write_json, written_whole
from speechlasso.language_model.classification import (
    Reading,
    Settled,
    chosen_threshold,
    classification_task,
    learned_classes,
    log_p_of_class,
    scores_of_epochs,
)
from speechlasso.language_model.finetuning import FinetuneResult
from speechlasso.language_model.settings import Finetune
from speechlasso.systems.finetuned import settled_by_inner_folds
from speechlasso.systems.mfcc_lstm import MFCCLSTM
from speechlasso.training.batching import length_grouped_batches, length_sorted_batches
from speechlasso.training.devices import (
    best_device,
    computing,
    n_trainable,
    on_device,
    peak_memory_mb,
)
from speechlasso.training.loop import Batch, train
from speechlasso.training.processes import in_processes, process_number
from speechlasso.training.settings import CHECKPOINT
from speechlasso.training.standardisation import Standardisation

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

MODEL, ARM = "model.safetensors", "mfcc_lstm.json"
BATCH_SIZE = 32  # of prediction

Frames = Mapping[str, np.ndarray]
"""float16 (n_frames, N_SPECTRAL) of each utterance, by its id."""


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Train on the training rows; the epoch is chosen as that of `token_lm`."""
    criterion = settings.criterion
    examples = pd.read_parquet(inputs["token_texts"][0])
    inner_scores = mean_scores(inputs, criterion)
    settled = settled_by_inner_folds(examples, inputs, settings, inner_scores)
    frames = acoustics(inputs)
    work = partial(train_network, examples, frames, folder, settings, threads, settled)
    result = in_processes(settings.finetune.processes, work)
    write_csv(folder / "training_log.csv", result.log)
    learned = examples.loc[examples["split"] == "train", "id"]
    return result.told() | {
        "mean_sequence_length": float(np.mean([len(frames[name]) for name in learned])),
        **record(criterion, inner_scores or result.validation),
    }


def open(folder: Path) -> FittedLSTM:
    told = read_json(folder / ARM)
    network = BiLSTM.of(MFCCLSTM.model_validate(told["arm"]), len(told["classes"]))
    network.load_state_dict(load_file(folder / MODEL))
    network.to(best_device()).eval()
    return FittedLSTM(network, told["classes"], told["decision_threshold"])


@dataclass(frozen=True)
class FittedLSTM:
    network: BiLSTM
    classes: list[str]
    threshold: Threshold | None

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it; n_audio_tokens are frames."""
        rows, frames = pd.read_parquet(inputs["token_texts"][0]), acoustics(inputs)
        read = [frames[name] for name in rows["id"]]
        with computing(threads, seed=0):
            probabilities = class_probabilities(self.network, read, BATCH_SIZE)
        return predictions_frame(
            rows,
            probabilities,
            self.classes,
            threshold=self.threshold,
            n_audio_tokens=np.array([len(of_clip) for of_clip in read]),
        )


class BiLSTM(torch.nn.Module):
    """A bidirectional LSTM, its outputs averaged over time, and a classification head."""

    def __init__(self, hidden_size: int, n_layers: int, dropout: float, n_classes: int) -> None:
        super().__init__()
        self.standardised = Standardisation(N_SPECTRAL)
        self.lstm = torch.nn.LSTM(
            N_SPECTRAL,
            hidden_size,
            n_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if n_layers > 1 else 0.0,  # torch's is between layers
        )
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(2 * hidden_size, n_classes)

    @classmethod
    def of(cls, arm: MFCCLSTM, n_classes: int) -> BiLSTM:
        return cls(arm.hidden_size, arm.n_layers, arm.dropout, n_classes)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Logits, (n, n_classes), which neither padding nor other examples change.

        Parameters
        ----------
        frames
            float32 (n, longest, N_SPECTRAL).
        lengths
            int64 (n,), without padding.
        """
        packed = pack_padded_sequence(
            self.standardised(frames),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        average = outputs.sum(dim=1) / lengths[:, None]  # padding is zero
        return self.head(self.dropout(average))


def train_network(
    examples: pd.DataFrame,
    frames: Frames,
    folder: Path,
    settings: Any,
    threads: int,
    settled: Settled | None,
) -> FinetuneResult:
    """Train on the training rows, keep the epoch that is best on the validation rows, save it.

    Parameters
    ----------
    examples
        Columns id, label, split; test rows are not looked at.
    settings
        A `pipeline.stages.Training` of a `MFCCLSTM`.
    settled
        In place of validation rows.
    """
    started = time.perf_counter()
    # So small a network needs no activations twice.
    finetune = settings.finetune.with_defaults("gradient_checkpointing")
    criterion = settings.criterion
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, finetune, settled)
    examples = examples.assign(class_index=examples["label"].map(classes.index))
    with computing(threads, settings.seed):
        network = BiLSTM.of(settings.arm, len(classes))
        learned = examples.loc[examples["split"] == "train", "id"]
        network.standardised.learn(np.concatenate([frames[name] for name in learned]))
        reading = _reading(network, frames, finetune)
        task = classification_task(
            examples, classes, reading, finetune, criterion, settings.seed, settled
        )
        log = train(
            network,
            task,
            finetune,
            weight_decay=finetune.weight_decay,
            precision="fp32",
            seed=settings.seed,
            checkpoint_folder=folder / CHECKPOINT,
            title="finetune",
        )
        threshold = None
        if finetune.decision_threshold == "tuned":
            threshold = chosen_threshold(examples, classes, reading, criterion, settled)
        if process_number() == 0:
            _save(network, settings.arm, classes, threshold, folder)
    return FinetuneResult(
        log,
        scores_of_epochs(log, task),
        time.perf_counter() - started,
        peak_memory_mb(),
        threshold,
        n_trainable(network),
    )


def acoustics(inputs: Files) -> Frames:
    return {name: of_clip[:, 0] for name, of_clip in FrameFiles(inputs["frames"]).read()}


@torch.no_grad()
def class_probabilities(
    network: BiLSTM, frames: Sequence[np.ndarray], batch_size: int
) -> np.ndarray:
    """Softmax over the classes, float64 (n_examples, n_classes), in the order of the frames."""
    network.eval()
    device = next(network.parameters()).device
    probabilities = np.empty((len(frames), network.head.out_features))
    for rows in length_sorted_batches(np.array([len(f) for f in frames]), batch_size):
        batch = on_device(_batch([frames[row] for row in rows]), device)
        probabilities[rows] = network(**batch).double().softmax(dim=1).cpu().numpy()
    return probabilities


def _reading(network: BiLSTM, frames: Frames, settings: Finetune) -> Reading:
    def read(rows: pd.DataFrame) -> list[np.ndarray]:
        return [frames[name] for name in rows["id"]]

    def batches(
        rows: pd.DataFrame, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        sequences = read(rows)
        lengths = np.array([len(of_clip) for of_clip in sequences])
        return [
            (batch, _batch([sequences[row] for row in batch]))
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def log_p(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return log_p_of_class(model(batch["frames"], batch["lengths"]), batch["labels"])

    def probabilities(rows: pd.DataFrame) -> np.ndarray:
        return class_probabilities(network, read(rows), settings.part_size)

    return Reading(batches, log_p, probabilities, read, padded_tensors=())


def _batch(frames: Sequence[np.ndarray]) -> Batch:
    sequences = [torch.from_numpy(of_clip.astype(np.float32)) for of_clip in frames]
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return {"frames": pad_sequence(sequences, batch_first=True), "lengths": lengths}


def _save(
    network: BiLSTM, arm: MFCCLSTM, classes: list[str], threshold: Threshold | None, folder: Path
) -> None:
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    with written_whole(folder / MODEL) as temporary:
        save_file(state, temporary)
    told = {"arm": arm.model_dump(mode="json"), "classes": classes, "decision_threshold": threshold}
    write_json(folder / ARM, told)
