"""The clips of a manifest as they were when it was made, so that later readers get these bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso.digests import UNSETTLED, FileStatus, Fingerprint, file_status, fingerprint
from speechlasso.errors import InputError
from speechlasso.files import read_parquet, write_parquet

CLIPS = "clips.parquet"
_COLUMNS = ["clip", "sha256", *FileStatus._fields]


@dataclass(frozen=True)
class RecordedClips:
    """Fingerprints of the distinct clips of a manifest; None for those that could not be read."""

    fingerprints: Mapping[str, Fingerprint | None]
    _verified: dict[str, FileStatus] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, clips: Iterable[str] | None = None) -> RecordedClips:
        """All clips, or these alone, which a job needs that reads few of very many."""
        chosen = None if clips is None else [("clip", "in", set(clips))]
        table = read_parquet(path, filters=chosen)
        rows = zip(*(table[column].tolist() for column in _COLUMNS), strict=True)
        return cls(
            {
                clip: Fingerprint(digest, FileStatus(*status)) if isinstance(digest, str) else None
                for clip, digest, *status in rows
            }
        )

    def write(self, path: str | Path) -> None:
        """Columns clip, sha256 (null where there was no file) and the status on disk."""
        rows = [
            (clip, mark and mark.sha256, *(mark.status if mark else UNSETTLED))
            for clip, mark in sorted(self.fingerprints.items())
        ]
        write_parquet(path, pd.DataFrame(rows, columns=_COLUMNS).astype({"sha256": "string"}))

    @property
    def digests(self) -> dict[str, str | None]:
        return {clip: mark and mark.sha256 for clip, mark in self.fingerprints.items()}

    def require_digest(self, planned: str | None) -> None:
        """See that the clips are those that a manifest was planned for, if it was for certain ones.

        Raises
        ------
        InputError
            If not.
        """
        if planned not in (None, digest_of_clips(self.digests)):
            raise InputError("Clips were replaced since the run was planned; run snakemake again.")

    def require_unchanged(self, clips: Sequence[str]) -> None:
        """See that clips are those that the manifest lists. A clip whose status is the recorded one
        is not read.

        Raises
        ------
        InputError
            Naming the first clip that holds something else.
        """
        for clip in clips:
            recorded, status = self.fingerprints[clip], file_status(clip)
            if recorded is None or status is None:
                continue  # reading it will say what is wrong
            if status in (recorded.status, self._verified.get(clip)):
                continue
            found = fingerprint(clip)
            if found is None or found.sha256 != recorded.sha256:
                raise InputError(
                    f"{clip}: is not the clip that the manifest lists, but was replaced since; "
                    "run snakemake again, which then looks at all clips anew"
                )
            self._verified[clip] = found.status


def require_unchanged(path: str | Path, clips: Sequence[str]) -> None:
    """See that clips are those that the manifest behind a clips.parquet lists, which may be more.

    Raises
    ------
    InputError
        Naming the first clip that holds something else.
    """
    RecordedClips.read(path, clips).require_unchanged(clips)


def recorded_digests(paths: Iterable[str]) -> dict[str, str | None]:
    """SHA-256 of the clips of several manifests, by their paths."""
    return {
        clip: digest for path in paths for clip, digest in RecordedClips.read(path).digests.items()
    }


def summary_of_clips(path: str | Path) -> dict[str, Any]:
    """What a manifest recorded of its clips, in short, from its clips.parquet.

    Returns
    -------
    dict
        n, distinct clips; missing, those that could not be read; sha256, one digest for all of
        them: of the user's own that of `digest_of_clips`.
    """
    found = read_parquet(path, columns=["clip", "sha256"]).sort_values("clip")
    missing = found["sha256"].isna()
    # As they are read: a list of Python's of very many takes ten times the memory.
    digest = _joint_digest(zip(found["clip"], found["sha256"].mask(missing, ""), strict=True))
    return {"n": len(found), "missing": int(missing.sum()), "sha256": digest}


def is_the_users(clip: str) -> bool:
    """Whether the workflow has not written the clip itself (the demo corpus, sound in tables)."""
    return not clip.startswith("results/")


def digest_of_clips(digests: Mapping[str, str | None]) -> str:
    """One digest for the content of many clips of the user's, by their paths."""
    return _joint_digest((clip, digests[clip]) for clip in sorted(filter(is_the_users, digests)))


def _joint_digest(clips: Iterable[tuple[str, str | None]]) -> str:
    """Of paths, in their order, and the digest of what each holds."""
    found, end = hashlib.sha256(), ""
    for clip, digest in clips:
        line = f"{end}{digest or 'missing'} {clip}"
        found.update(line.encode("utf-8", "surrogatepass"))
        end = "\n"  # of the line before
    return found.hexdigest()


def checked_and_recorded(fingerprints: dict[str, Fingerprint | None]) -> Callable[[str], float]:
    """As `check_clip`, and puts the clip's fingerprint into the dictionary on the way."""
    from speechlasso.audio.clip_check import (
        check_clip,  # decoders, which planning a run does not need
    )

    def check(clip: str) -> float:
        # Before it is decoded: should it be replaced in between, later readers will find out.
        fingerprints[clip] = fingerprint(clip)
        return check_clip(clip)

    return check
