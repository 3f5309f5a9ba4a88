"""Reading and writing artifacts: every file appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The temporary name keeps the suffix, since many writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        give_ordinary_rights(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def give_ordinary_rights(path: Path) -> None:
    """Undo the privacy of a file that was made under a temporary name."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of_model(role: str, name: str) -> dict[str, str]:
    """The files that a model is loaded from, role/file -> path; none for a model of the hub.

    Hidden files, subfolders and texts for people (README, LICENSE) change nothing.
    """
    folder = Path(name)
    if not folder.is_dir():
        return {}
    return {
        f"{role}/{path.name}": path.as_posix()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".") and not _is_for_people(path)
    }


def _is_for_people(path: Path) -> bool:
    return path.suffix.lower() in (".md", ".rst") or path.stem.upper() in ("README", "LICENSE")


def write_text(path: str | Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write an array as .npy."""
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays, numbers and texts as .npz, to be read with allow_pickle=False."""
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_parquet(path: str | Path, frame: pd.DataFrame) -> None:
    with written_whole(path) as temporary:
        frame.to_parquet(temporary, index=False)


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    with written_whole(path) as temporary:
        frame.to_csv(temporary, index=False)
