"""The files that codes or frames lie in: one for each job that makes them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def shards(folder: str, suffix: str, n_rows: int, shard_size: int) -> list[str]:
    """The shards in a folder, in the order of the utterances.

    A folder that is complete keeps the division in which it was made, whatever `shard_size` says
    today: how the work is divided changes no code and no frame.
    """
    divisions = {-(-n_rows // shard_size): None, **_divisions(Path(folder))}
    done = (n for n in divisions if all(map(is_written, _shards(folder, suffix, n))))
    return _shards(folder, suffix, next(done, next(iter(divisions))))


def shard_rows(n_rows: int, shard: int, n_shards: int) -> range:
    """Rows of a shard: every n_shards-th, so that shards take equally long."""
    return range(shard, n_rows, n_shards)


def read_shard_rows(path: str | Path, shard: int, n_shards: int) -> pd.DataFrame:
    """The rows of a shard in a Parquet file of all rows; the others never become objects of
    Python's, which take ten times the memory."""
    import pyarrow.parquet as pq  # not for those who plan

    table = pq.read_table(path)
    return table.take(list(shard_rows(len(table), shard, n_shards))).to_pandas()


def spec_of_shard(shard: str) -> Path:
    """The spec.json of a shard."""
    return Path(shard).with_suffix(".spec.json")


def _shards(folder: str, suffix: str, n: int) -> list[str]:
    return [f"{folder}/shard-{shard}-of-{n}{suffix}" for shard in range(n)]


def _divisions(folder: Path) -> dict[int, None]:
    """Numbers of shards that the rows were ever divided into, in ascending order."""
    names = (path.name for path in folder.glob("shard-0-of-*.spec.json"))
    return dict.fromkeys(sorted(int(name.split(".")[0].split("-of-")[1]) for name in names))


def is_written(shard: str) -> bool:
    """Whether a shard and its spec.json are there."""
    return Path(shard).is_file() and spec_of_shard(shard).is_file()
