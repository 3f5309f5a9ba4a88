"""Result folders that no configuration reaches: which they are, and deleting them safely."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from speechlasso.experiment.unlock import require_no_run
from speechlasso.pipeline.stages import STAGES
from speechlasso.pipeline.variants import RESULTS

# As `Variant.key` makes them.
_KEY = re.compile(r"[\w.-]+-[0-9a-f]{10}")


def unreached_folders(reached: Collection[str]) -> Iterator[Path]:
    """Folders within those of the stages that are none of the reached ones."""
    for stage in STAGES:
        for folder in sorted(Path(RESULTS, stage).glob("*/")):
            if folder.as_posix() not in reached:
                yield folder


def why_kept(folder: Path) -> str | None:
    """Why a folder is never deleted; None for one that a plan made, and that lies here itself."""
    for path in (folder, *folder.parents):
        if path.is_symlink():
            return f"{path} is a link: delete where that leads to"
    if not _KEY.fullmatch(folder.name) or not _has_spec(folder):
        return "holds no spec.json of this stage: made by hand, or left by a killed run"
    return None


def size(folder: Path) -> int:
    """Bytes of the files in it; links count by themselves."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def delete(folder: Path) -> None:
    """Delete a folder of results, unless a run is at work.

    Raises
    ------
    InputError
        If it is.
    """
    require_no_run()
    # First what says that it is whole: it may be that not all of it can be deleted.
    for spec in _specs(folder):
        spec.unlink()
    shutil.rmtree(folder)


def _has_spec(folder: Path) -> bool:
    return any(_stage_of(spec) == folder.parent.name for spec in _specs(folder))


def _stage_of(spec: Path) -> str | None:
    try:
        return json.loads(spec.read_text(encoding="utf-8"))["stage"]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _specs(folder: Path) -> list[Path]:
    """Of the folder, or of the shards in it."""
    return [*folder.glob("spec.json"), *folder.glob("*.spec.json")]
