"""Digests of files, cheaply: as in git, a file is read again only when its status has changed."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from speechlasso.errors import InputError
from speechlasso.files import sha256, write_text

logger = logging.getLogger(__name__)

DIGESTS = "results/.digests.json"
"""Where a workflow keeps digests of the user's files."""
# Longer than a tick of any file system's clock (2 s on FAT).
SETTLED_NS = 3 * 10**9
THREADS = 16
PATHS_AT_A_TIME = 500

Result = TypeVar("Result")


class FileStatus(NamedTuple):
    """What changes with a file's content. No program can set back the time of the last change."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


UNSETTLED = FileStatus(-1, -1, -1, -1)
"""Stands for a status that says nothing; no file has it."""


class Fingerprint(NamedTuple):
    """A digest, and the status under which it holds.

    A file that was changed just before it was read may change once more within the same tick of
    the clock; then the status is `UNSETTLED` (git calls such entries racily clean).
    """

    sha256: str
    status: FileStatus


def file_status(path: str) -> FileStatus | None:
    """The status of a regular file, or None where there is none that can be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileStatus(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def fingerprint(path: str) -> Fingerprint | None:
    """Read a file; None where there is none that can be read."""
    now_ns = time.time_ns()
    before = file_status(path)
    if before is None:
        return None
    try:
        digest = sha256(path)
    except OSError:
        return None
    youngest = max(before.modified_ns, before.changed_ns)
    settled = youngest < now_ns - SETTLED_NS and before == file_status(path)
    return Fingerprint(digest, before if settled else UNSETTLED)


class DigestCache:
    """Digests of files that were read before, in a file of their own.

    Parameters
    ----------
    path
        JSON: path -> SHA-256 and the status under which it holds. May be missing, and may be
        deleted at any time: then files are read again.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._known = self._read()
        self._is_new = False

    def _read(self) -> dict[str, Fingerprint]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                path: Fingerprint(digest, FileStatus(*status))
                for path, (digest, *status) in entries.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def digests(
        self, paths: Iterable[str], known: Mapping[str, Fingerprint] | None = None
    ) -> dict[str, str | None]:
        """SHA-256 of each file, None for those that cannot be read.

        Parameters
        ----------
        known
            Further fingerprints, for instance those that a job wrote down.
        """
        paths = list(paths)
        found: dict[str, str | None] = {}
        unknown = []
        for path, status in zip(paths, _mapped(file_status, paths), strict=True):
            candidates = (self._known.get(path), known.get(path) if known else None)
            digest = next((c.sha256 for c in candidates if c and c.status == status), None)
            found[path] = digest
            if digest is None and status is not None:
                unknown.append(path)
        read = _mapped(fingerprint, unknown, at_a_time=1)
        progress = tqdm(read, "reading changed files", len(unknown), unit="file", delay=1)
        for path, mark in zip(unknown, progress, strict=True):
            found[path] = mark.sha256 if mark else None
            if mark and mark.status != UNSETTLED:
                self._known[path] = mark
                self._is_new = True
        return found

    def save(self) -> None:
        """Write down what was learned, if anything."""
        if self._is_new:
            entries = {path: [mark.sha256, *mark.status] for path, mark in self._known.items()}
            try:
                write_text(self._path, json.dumps(entries, indent=0))
            except (InputError, FileNotFoundError) as error:
                # Nothing but time is lost, and to look at results one need not own them. A run that
                # starts at this moment clears unfinished files.
                logger.warning("%s", error)
            self._is_new = False


def _mapped(
    function: Callable[[str], Result], paths: list[str], at_a_time: int = PATHS_AT_A_TIME
) -> Iterator[Result]:
    """The function of each path, in threads: file systems of clusters answer slowly."""
    parts = (paths[i : i + at_a_time] for i in range(0, len(paths), at_a_time))
    with ThreadPoolExecutor(THREADS) as pool:
        for results in pool.map(lambda part: [function(path) for path in part], parts):
            yield from results
