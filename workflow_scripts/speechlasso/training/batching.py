"""Batches of token ids: examples of like length together, or packed, so that little is padded."""

from __future__ import annotations

from collections.abc import Collection, Sequence

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


def random_batches(n_examples: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches (arrays of positions) of examples in random order."""
    return np.split(rng.permutation(n_examples), range(batch_size, n_examples, batch_size))


def shared_rows(lengths: np.ndarray) -> list[list[int]]:
    """Positions of the examples that share each row, no row longer than the longest example.

    Each example, from the longest on, goes into the first row that has room (first-fit decreasing,
    which needs at most 11/9 of the fewest rows possible, and one more).
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for position in np.argsort(-lengths, kind="stable"):
        row = next((r for r, left in enumerate(room) if left >= lengths[position]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(int(lengths.max()))
        rows[row].append(int(position))
        room[row] -= lengths[position]
    return rows


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


def packed_inputs(
    sequences: Sequence[np.ndarray], rows: list[list[int]], padding_id: int
) -> dict[str, torch.Tensor]:
    """`input_ids` and `position_ids` of a batch in which sequences share rows.

    Positions start from 0 with each sequence, by which transformers' decoders tell them apart (if
    there is no attention mask). Each place that is padded looks like a sequence of its own.
    """
    positions = [np.concatenate([np.arange(len(sequences[i])) for i in row]) for row in rows]
    return {
        "input_ids": padded(in_rows(sequences, rows), padding_id),
        "position_ids": padded(positions, 0),
    }


def in_rows(sequences: Sequence[np.ndarray], rows: list[list[int]]) -> list[np.ndarray]:
    """The sequences of each row, one after the other."""
    return [np.concatenate([sequences[position] for position in row]) for row in rows]


def split_batch(
    batch: dict[str, torch.Tensor], size: int, padded_tensors: Collection[str] = ()
) -> list[dict[str, torch.Tensor]]:
    """A batch in parts of at most `size` rows.

    Parameters
    ----------
    padded_tensors
        Names of the tensors (n, longest text) that are padded as `attention_mask` tells; what is
        padding in all rows of a part is cut off from them, and from no other tensor.
    """
    n_examples = len(next(iter(batch.values())))
    parts = []
    for start in range(0, n_examples, size):
        part = {name: tensor[start : start + size] for name, tensor in batch.items()}
        if "attention_mask" in part:
            longest = int(part["attention_mask"].sum(dim=1).max())
            part |= {name: part[name][:, :longest] for name in padded_tensors if name in part}
        parts.append(part)
    return parts
