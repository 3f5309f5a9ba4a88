"""Reading and writing artifacts: every file appears whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.errors import InputError, refused_by_disk

_STDOUT = 1


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The temporary name keeps the suffix, since many writers choose the format by it.

    Raises
    ------
    InputError
        If the disk is full, read-only or not to be written by this user.
    """
    path = Path(path)
    prefix, temporary = f".{path.stem}-", None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        give_ordinary_rights(temporary)
        temporary.replace(path)
    except Exception as error:
        named = getattr(error, "filename", None)
        is_this = named is None or Path(named).name.startswith(prefix)
        if refused := refused_by_disk(error, path if is_this else named):
            raise refused from error
        raise
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: str | Path, names: str = "**/*") -> None:
    """Remove what `written_whole` left of files when it was killed.

    Only where nothing else is writing these files.

    Parameters
    ----------
    names
        A pattern of the files' names without suffix; by default all in the folder and below it.
    """
    above, name = os.path.split(names)
    pattern = f".{name}-{'[a-z0-9_]' * 8}*"  # as tempfile draws them
    for path in Path(folder).glob(os.path.join(above, pattern)):
        path.unlink()


@contextmanager
def written_where_named(path: str | Path) -> Iterator[Path]:
    """As `written_whole`, for a name of the user's, which may stand for something else.

    A link stays a link, and what it leads to is written. Devices and pipes are written into, when
    the block has ended well.
    """
    stream = _stream_behind(Path(path))
    if stream is None:
        with written_whole(os.path.realpath(path)) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, Path(path).name)
        yield temporary
        try:
            with open(stream, "wb", closefd=stream != _STDOUT) as opened:
                opened.write(temporary.read_bytes())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise refused_by_disk(error, path) or error from error


def _stream_behind(path: Path) -> Path | int | None:
    """What is written into as it stands: a device, a pipe, and the file that stdout goes to."""
    if path.is_file():
        # By its name it would be cut before what is in it already.
        return _STDOUT if os.path.samestat(path.stat(), os.fstat(_STDOUT)) else None
    return path if path.exists() and not path.is_dir() else None


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


def write_text_where_named(path: str | Path, text: str) -> None:
    with written_where_named(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write an array as .npy."""
    # NumPy writes into files by itself, and tells no reason when that fails.
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    with written_whole(path) as temporary:
        temporary.write_bytes(stream.getvalue())


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays, numbers and texts as .npz, to be read with allow_pickle=False."""
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read what `write_json` wrote.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    text = Path(path).read_bytes()
    try:
        return json.loads(text)
    except ValueError as error:
        raise _damaged(path, error) from error


def read_parquet(path: str | Path, **choice: Any) -> pd.DataFrame:
    """Read what `write_parquet` wrote, where no job sees to it that files are whole.

    Parameters
    ----------
    **choice
        Of rows or columns, as pandas takes them.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    Path(path).stat()  # whether there is one
    try:
        return pd.read_parquet(path, **choice)
    except (ValueError, OSError) as error:
        raise refused_by_disk(error, path) or _damaged(path, error) from error


def _damaged(path: str | Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: damaged, it cannot be read ({error}). Make it again, with the options of your "
        f"run: {made_again_by([path])}"
    )


def made_again_by(paths: Iterable[str | Path]) -> str:
    """The command that has the workflow make results again, and all that was made of them."""
    targets = dict.fromkeys(_from_results(Path(path)) for path in paths)
    return f"snakemake --cores all --forcerun {' '.join(targets)}"


def _from_results(path: Path) -> str:
    """As Snakemake knows a result, wherever its project lies."""
    parts = path.parts
    start = len(parts) - 1 - parts[::-1].index("results") if "results" in parts else 0
    return Path(*parts[start:]).as_posix()


def write_parquet(path: str | Path, frame: pd.DataFrame) -> None:
    with written_whole(path) as temporary:
        frame.to_parquet(temporary, index=False)


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    with written_whole(path) as temporary:
        frame.to_csv(temporary, index=False)
