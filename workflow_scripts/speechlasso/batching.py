"""Batches of token ids: examples of like length together, so that little is padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

# Sorting only within so many batches leaves the batches' composition random.
BATCHES_SORTED_TOGETHER = 10


def length_grouped_batches(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Random batches (arrays of positions) of examples whose lengths are alike."""
    order = rng.permutation(len(lengths))
    pool_size = batch_size * BATCHES_SORTED_TOGETHER
    batches = []
    for start in range(0, len(order), pool_size):
        pool = order[start : start + pool_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def length_sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches (arrays of positions), the longest examples first so that memory peaks at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def padded(sequences: Sequence[np.ndarray], padding: int) -> torch.Tensor:
    """Integers of unequal length as one int64 tensor, (n, longest), padded on the right."""
    longest = max(map(len, sequences))
    matrix = np.full((len(sequences), longest), padding, dtype=np.int64)
    for row, sequence in zip(matrix, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(matrix)


def model_inputs(sequences: Sequence[np.ndarray], padding_id: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` of a batch."""
    return {
        "input_ids": padded(sequences, padding_id),
        "attention_mask": padded([np.ones(len(ids), dtype=np.int64) for ids in sequences], 0),
    }


def split_batch(batch: dict[str, torch.Tensor], size: int) -> list[dict[str, torch.Tensor]]:
    """A batch in parts of at most `size` examples, each padded no longer than it needs."""
    n_examples = len(next(iter(batch.values())))
    parts = []
    for start in range(0, n_examples, size):
        part = {name: tensor[start : start + size] for name, tensor in batch.items()}
        if "attention_mask" in part:
            longest = int(part["attention_mask"].sum(dim=1).max())
            part = {name: t[:, :longest] if t.ndim > 1 else t for name, t in part.items()}
        parts.append(part)
    return parts
