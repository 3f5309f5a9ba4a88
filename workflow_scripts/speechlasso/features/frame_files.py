"""Frames on disk: safetensors shards of what an encoder made of each utterance."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from speechlasso.errors import InputError
from speechlasso.files import written_whole


@dataclass(frozen=True)
class FrameKind:
    """What frames are: hidden states of which layers, how many a second."""

    layers: list[int]
    frame_rate: float
    encoder: dict[str, Any]
    """The encoder's settings (`features.settings.Encoder`), as JSON has them."""


def write_frames(path: str | Path, frames: Mapping[str, np.ndarray], kind: FrameKind) -> None:
    """Write the frames of some utterances, in half precision.

    Parameters
    ----------
    frames
        Utterance id -> (n_frames, n_layers, size).
    """
    # Metadata of one entry: safetensors writes several in an order that changes from run to run.
    lengths = {name: len(of_clip) for name, of_clip in frames.items()}
    metadata = {"frames": json.dumps({"lengths": lengths, **asdict(kind)})}
    # Of no utterance where a shard's rows were all left out.
    nothing = np.empty((0, len(kind.layers), 1), dtype=np.float16)
    joined = np.concatenate(
        [of_clip.astype(np.float16) for of_clip in frames.values()] or [nothing]
    )
    with written_whole(path) as temporary:
        save_file({"frames": joined}, temporary, metadata=metadata)


@dataclass(frozen=True)
class FrameFiles:
    """Shards of frames, read an utterance at a time."""

    paths: Sequence[str | Path]

    @property
    def kind(self) -> FrameKind:
        with safe_open(self.paths[0], framework="numpy") as shard:
            metadata = json.loads(shard.metadata()["frames"])
        return FrameKind(metadata["layers"], metadata["frame_rate"], metadata["encoder"])

    def read(
        self, layers: Iterable[int] | None = None, ids: Collection[str] | None = None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance's id and frames, float16 (n_frames, n_layers, size), shard after shard.

        Parameters
        ----------
        layers
            Which to read, in this order; by default all there are.
        ids
            Of the utterances to read; by default all.

        Raises
        ------
        InputError
            If there is no such layer.
        """
        for path in self.paths:
            with safe_open(path, framework="numpy") as shard:
                metadata = json.loads(shard.metadata()["frames"])
                columns = _columns(metadata["layers"], layers)
                frames, start = shard.get_slice("frames"), 0
                for name, length in metadata["lengths"].items():
                    if ids is None or name in ids:
                        yield name, frames[start : start + length][:, columns]
                    start += length

    def by_id(self, layers: Iterable[int] | None = None) -> FramesById:
        """The frames of any utterance at any time, without all of them in memory.

        Raises
        ------
        InputError
            If there is no such layer.
        """
        places: dict[str, tuple[str | Path, int, int]] = {}
        for path in self.paths:
            with safe_open(path, framework="numpy") as shard:
                lengths = json.loads(shard.metadata()["frames"])["lengths"]
            starts = accumulate(lengths.values(), initial=0)
            # The last start is the end of the shard.
            places |= {
                name: (path, start, length)
                for (name, length), start in zip(lengths.items(), starts, strict=False)
            }
        return FramesById(places, _columns(self.kind.layers, layers))


@dataclass(frozen=True)
class FramesById:
    """Frames on disk, read by utterance."""

    places: Mapping[str, tuple[str | Path, int, int]]
    """Of each utterance: its shard, its first row there and its number of frames."""
    columns: list[int]
    """Of the layers in the shards, those to read."""

    def n_frames(self, name: str) -> int:
        return self.places[name][2]

    def read(self, name: str, most: int | None = None) -> np.ndarray:
        """The frames of an utterance, or at most so many of them: float16 (n_frames, n_layers,
        size)."""
        path, start, length = self.places[name]
        with safe_open(path, framework="numpy") as shard:
            end = start + (length if most is None else min(length, most))
            return shard.get_slice("frames")[start:end][:, self.columns]


def _columns(kept: list[int], layers: Iterable[int] | None) -> list[int]:
    wanted = kept if layers is None else list(layers)
    if missing := sorted(set(wanted) - set(kept)):
        raise InputError(
            f"layers: {missing} are not among the layers {kept} that the encoder keeps; name some "
            "of them, or change encoder.layers"
        )
    return [kept.index(layer) for layer in wanted]
