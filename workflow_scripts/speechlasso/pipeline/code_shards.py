"""The files that codes lie in: one for each job that tokenises."""

from __future__ import annotations

from pathlib import Path


def code_shards(folder: str, n_rows: int, shard_size: int) -> list[str]:
    """The shards of the codes in a folder, in the order of the utterances.

    Codes that are complete keep the division in which they were made, whatever `shard_size` says
    today: how the work is divided changes no code.
    """
    divisions = {-(-n_rows // shard_size): None, **_divisions(Path(folder))}
    done = (n for n in divisions if all(map(_is_written, _shards(folder, n))))
    return _shards(folder, next(done, next(iter(divisions))))


def spec_of_shard(shard: str) -> Path:
    """The spec.json of a file of codes."""
    return Path(shard).with_suffix(".spec.json")


def _shards(folder: str, n: int) -> list[str]:
    return [f"{folder}/shard-{shard}-of-{n}.parquet" for shard in range(n)]


def _divisions(folder: Path) -> dict[int, None]:
    """Numbers of shards that codes were ever divided into, in ascending order."""
    names = (path.name for path in folder.glob("shard-0-of-*.spec.json"))
    return dict.fromkeys(sorted(int(name.split(".")[0].split("-of-")[1]) for name in names))


def _is_written(shard: str) -> bool:
    return Path(shard).is_file() and spec_of_shard(shard).is_file()
