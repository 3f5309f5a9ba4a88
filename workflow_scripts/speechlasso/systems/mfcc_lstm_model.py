"""Fit the system `mfcc_lstm`, and open what was fitted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from speechlasso.evaluation.decision import Threshold
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.spectral_frames import N_SPECTRAL
from speechlasso.files import read_json, write_json
from speechlasso.language_model.classification import (
    FinetuneResult,
    Reading,
    Settled,
    chosen_threshold,
    classification_task,
    learned_classes,
    log_p_of_class,
    scores_of_epochs,
)
from speechlasso.language_model.settings import Finetune
from speechlasso.systems.finetuned import learn_task
from speechlasso.systems.mfcc_lstm import MFCCLSTM
from speechlasso.training.batching import length_grouped_batches, length_sorted_batches
from speechlasso.training.devices import best_device, computing, n_trainable, on_device
from speechlasso.training.loop import Batch, train
from speechlasso.training.processes import save_tensors
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
    examples = pd.read_parquet(inputs["token_texts"][0])
    options = {"frames": acoustics(inputs), "arm": settings.arm}
    result = learn_task(train_network, examples, inputs, settings, folder, threads, **options)
    told = {
        "arm": settings.arm.model_dump(mode="json"),
        "classes": result.classes,
        "decision_threshold": result.decision_threshold,
    }
    write_json(folder / ARM, told)
    return result.told(settings.criterion)


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
    model_folder: Path,
    *,
    frames: Frames,
    arm: MFCCLSTM,
    settings: Finetune,
    criterion: Criterion,
    seed: int,
    threads: int,
    settled: Settled | None,
) -> FinetuneResult:
    """Train on the training rows, keep the epoch that is best on the validation rows, save it.

    Parameters
    ----------
    examples
        Columns id, label, split; test rows are not looked at.
    model_folder
        Gets `MODEL`.
    settings, criterion, seed, threads, settled
        As of `finetuning.finetune`.
    """
    started = time.perf_counter()
    # So small a network needs no activations twice.
    settings = settings.with_defaults("gradient_checkpointing")
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, settings, settled)
    examples = examples.assign(class_index=examples["label"].map(classes.index))
    with computing(threads, seed):
        network = BiLSTM.of(arm, len(classes))
        learned = [frames[name] for name in examples.loc[examples["split"] == "train", "id"]]
        network.standardised.learn(np.concatenate(learned))
        reading = _reading(network, frames, settings)
        task = classification_task(examples, classes, reading, settings, criterion, seed, settled)
        log = train(
            network,
            task,
            settings,
            weight_decay=settings.weight_decay,
            precision="fp32",
            seed=seed,
            checkpoint_folder=model_folder / CHECKPOINT,
            title="finetune",
        )
        threshold = chosen_threshold(examples, classes, reading, settings, criterion, settled)
        save_tensors(network.state_dict(), model_folder / MODEL)
    costs = (started, n_trainable(network), [len(of_clip) for of_clip in learned])
    scores = scores_of_epochs(log, task)
    return FinetuneResult.measured(*costs, log, scores, classes, threshold)


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
