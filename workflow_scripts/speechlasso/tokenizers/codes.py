"""Codes on disk: Parquet shards of what a speech tokenizer made of each utterance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speechlasso.files import written_whole


@dataclass(frozen=True)
class Codebooks:
    """What codes mean: layers, codes per layer and frames per second."""

    n_layers: int
    codebook_size: int
    frame_rate: float


@dataclass(frozen=True)
class CodeTable:
    """Codes of many utterances.

    Attributes
    ----------
    codebooks
        Shared by all utterances.
    codes
        Utterance id -> integers, (n_layers, n_frames).
    """

    codebooks: Codebooks
    codes: dict[str, np.ndarray]

    def write(self, path: str | Path) -> None:
        """One row an utterance: id, n_frames, codes (layer after layer)."""
        arrays = list(self.codes.values())
        table = pa.table(
            {
                "id": pa.array(list(self.codes), pa.string()),
                "n_frames": pa.array([array.shape[1] for array in arrays], pa.int32()),
                "codes": pa.array([array.ravel() for array in arrays], pa.list_(pa.int32())),
            }
        )
        metadata = {"codebooks": json.dumps(asdict(self.codebooks))}
        with written_whole(path) as temporary:
            pq.write_table(table.replace_schema_metadata(metadata), temporary)

    @classmethod
    def read(cls, paths: Sequence[str | Path]) -> CodeTable:
        """Join the shards of one tokenizer."""
        codes: dict[str, np.ndarray] = {}
        for path in paths:
            table = pq.read_table(path)
            codebooks = _codebooks(table.schema)
            ids, rows = table["id"].to_pylist(), table["codes"].combine_chunks()
            bounds, values = rows.offsets.to_numpy(), rows.values.to_numpy()
            for row, row_id in enumerate(ids):
                flat = values[bounds[row] : bounds[row + 1]]
                codes[row_id] = flat.reshape(codebooks.n_layers, -1)
        return cls(codebooks, codes)

    def parts(self) -> Iterator[CodeTable]:
        """All of it at once, as `CodeFiles` gives one shard after the other."""
        yield self


@dataclass(frozen=True)
class CodeFiles:
    """Shards of codes, read one at a time: memory grows with a shard, not with the corpus."""

    paths: Sequence[str | Path]

    @property
    def codebooks(self) -> Codebooks:
        return _codebooks(pq.read_schema(self.paths[0]))

    def parts(self) -> Iterator[CodeTable]:
        for path in self.paths:
            yield CodeTable.read([path])


def _codebooks(schema: pa.Schema) -> Codebooks:
    return Codebooks(**json.loads(schema.metadata[b"codebooks"]))
