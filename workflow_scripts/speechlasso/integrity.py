"""Whether results hold what the jobs that made them wrote down in their spec.json.

Safetensors, arrays and tables check few of their bytes, if any: a bit that a disk or a copy turned
would pass for another weight, code or probability.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from speechlasso.errors import InputError, refused_by_disk
from speechlasso.files import made_again_by, read_json, sha256

SPEC = "spec.json"
RECORD = "sha256"
"""Of spec.json: the digest of each file, by its path from there."""
LATER = (SPEC, "README.md")
"""Not of the job itself: spec.json holds the digests, and the model card has its own rule."""
MAKE_AGAIN = "Make them again, with the options of your run:"


def record(outputs: Iterable[str | Path], spec: str | Path) -> dict[str, str]:
    """SHA-256 of the files that a job wrote, by their paths from the folder of its spec.

    Parameters
    ----------
    outputs
        Files and folders. Where the folder of `spec` is one job's alone, other files in it count as
        well.
    """
    folder = Path(spec).parent
    siblings = [folder] if Path(spec).name == SPEC else []
    files = {file for path in map(Path, outputs) for file in _files(path, "**/*")}
    files |= {file for path in siblings for file in _files(path, "*") if file.name not in LATER}
    files.discard(Path(spec))
    return {file.relative_to(folder).as_posix(): sha256(file) for file in sorted(files)}


def require_intact(paths: Iterable[str | Path], advice: str | None = None) -> None:
    """See that files hold what was recorded of them; those without a record are not looked at.

    Parameters
    ----------
    paths
        Files, or folders for all that was recorded of them.
    advice
        What to do, other than to have the workflow make them again.

    Raises
    ------
    InputError
        Listing all that hold something else or are missing.
    """
    recorded = {}
    for path in map(Path, paths):
        if spec := _spec_of(path):
            recorded |= _recorded(path, spec)
    damaged = {file: spec for file, (digest, spec) in recorded.items() if _digest(file) != digest}
    if damaged:
        raise InputError.listing(
            "Damaged: these files are not what the workflow wrote, by the digests in spec.json:",
            (f"{file}{'' if file.is_file() else ' (missing)'}" for file in damaged),
            advice or f"{MAKE_AGAIN} {made_again_by(damaged.values())}",
        )


def unreadable(paths: Iterable[str | Path]) -> InputError | None:
    """What is wrong with results that cannot be read, for want of a digest that tells; or None."""
    problems = {}
    for path in map(Path, paths):
        if path.is_file() and (spec := _spec_of(path)):
            try:
                _read(path)
            except Exception as error:  # each library has its own
                problems[f"{path}: {error}"] = spec
    if not problems:
        return None
    return InputError.listing(
        "Damaged: these files cannot be read:",
        problems,
        f"{MAKE_AGAIN} {made_again_by(problems.values())}",
    )


def _files(path: Path, pattern: str) -> Iterator[Path]:
    """A file, or those of a folder but for hidden ones, which are Snakemake's or half written."""
    found = path.glob(pattern) if path.is_dir() else [path]
    return (file for file in found if file.is_file() and not file.name.startswith("."))


def _spec_of(path: Path) -> Path | None:
    """The spec with the record of a file or folder: of a model's folder in it, else beside it."""
    places = (path / SPEC, path.parent / f"{path.stem}.{SPEC}", path.parent / SPEC)
    return next((spec for spec in places if spec.is_file()), None)


def _recorded(path: Path, spec: Path) -> dict[Path, tuple[str, Path]]:
    """Digest and spec of a file, or of each file in a folder."""
    found = read_json(spec)
    digests = found.get(RECORD, {}) if isinstance(found, dict) else None
    if not isinstance(digests, dict):
        raise InputError(
            f"{spec}: not what the workflow writes there, which are facts about its folder. "
            f"Copy the folder again, or make it again: {made_again_by([spec])}"
        )
    files = {spec.parent / name: (digest, spec) for name, digest in digests.items()}
    return {file: of_file for file, of_file in files.items() if path in (file, *file.parents)}


def _digest(path: Path) -> str | None:
    """None of a file that is missing or that its disk does not give."""
    try:
        return sha256(path)
    except OSError as error:
        if refused := refused_by_disk(error, path):
            raise refused from error
        return None


def _read(path: Path) -> None:
    """Read as far as it takes to find out that a file is none of its kind."""
    match path.suffix:
        case ".json":
            json.loads(path.read_text(encoding="utf-8"))
        case ".parquet":
            pd.read_parquet(path)
        case ".npy":
            np.load(path, allow_pickle=False)
        case ".npz":
            with zipfile.ZipFile(path) as file:
                if broken := file.testzip():
                    raise ValueError(f"{broken} in it is damaged")
        case ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy"):
                pass
