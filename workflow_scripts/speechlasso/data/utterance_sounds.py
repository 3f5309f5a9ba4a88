"""Utterances of manifests: how long they are, and their sound as a page plays it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.audio.excerpts import SAMPLE_RATE, as_mp3
from speechlasso.audio.reading import read_clip, segment_span
from speechlasso.audio.segments import is_open
from speechlasso.data.recorded_clips import CLIPS, require_unchanged
from speechlasso.files import read_parquet

SHORTEST = 0.01
"""Seconds of a clip that are worth hearing after others."""


MOST_SOUNDS = 20
"""Of `example_clips`, of each kind of errors."""
MOST_SECONDS = 10.0
"""Of one of them: with two kinds all together take 1.2 MB at most."""


def read_utterances(folders: Iterable[str | Path], ids: Collection[str]) -> pd.DataFrame:
    """Rows of manifests, each id once, as the index as well.

    Parameters
    ----------
    folders
        Of the manifests; of rows that several have the first counts.

    Raises
    ------
    InputError
        If one of their clips is not the one that the manifest lists, but was replaced since.
    """
    parts = []
    for folder in dict.fromkeys(folders):
        rows = read_parquet(Path(folder, "manifest.parquet"))
        rows = rows[rows["id"].isin(ids)]
        if "audio" in rows:
            clips = dict.fromkeys(clip for row in rows["audio"] for clip in row)
            require_unchanged(Path(folder, CLIPS), list(clips))
        parts.append(rows)
    return pd.concat(parts).drop_duplicates("id").set_index("id", drop=False)


def example_clips(ids: Iterable[str], rows: pd.DataFrame, seconds: pd.Series) -> pd.DataFrame:
    """The sound of some utterances.

    Parameters
    ----------
    rows, seconds
        As `read_utterances` and `utterance_seconds` make them.

    Returns
    -------
    pandas.DataFrame
        id, sound (an MP3 file of the first `MOST_SECONDS`), seconds (of the whole utterance).

    Raises
    ------
    ClipError
        When a clip cannot be decoded.
    """
    found = [(id, utterance_sound(rows.loc[id], MOST_SECONDS), seconds[id]) for id in ids]
    table = pd.DataFrame(found, columns=["id", "sound", "seconds"])
    return table.astype({"id": "str", "sound": object, "seconds": "float64"})


def utterance_seconds(rows: pd.DataFrame) -> pd.Series:
    """The length of each utterance: of all its clips, or of its segment.

    Parameters
    ----------
    rows
        Of a manifest.

    Returns
    -------
    pandas.Series
        Seconds, float64, by id.

    Raises
    ------
    ClipError
        When a clip cannot be opened.
    """
    length = cache(segment_span)
    found = []
    for row in rows.to_dict("records"):
        ends = row.get("start"), row.get("end")
        known = not any(map(is_open, ends))
        spans = [ends] if known else [length(clip, *ends) for clip in row["audio"]]
        found.append(sum(end - start for start, end in spans))
    return pd.Series(found, pd.Index(rows["id"], name="id"), dtype="float64")


def utterance_sound(row: pd.Series, most_seconds: float) -> bytes:
    """The beginning of an utterance as an MP3 file, its clips one after the other.

    Parameters
    ----------
    row
        Of a manifest.

    Raises
    ------
    ClipError
        When a clip cannot be decoded.
    """
    return as_mp3(np.concatenate(list(_beginnings(row, most_seconds))))


def _beginnings(row: Any, left: float) -> Iterator[np.ndarray]:
    for clip in row["audio"]:
        start, end = segment_span(clip, row.get("start"), row.get("end"))
        yield read_clip(clip, SAMPLE_RATE, start, min(end, start + left))
        left -= end - start
        if left < SHORTEST:
            return
