"""Audio as it comes in the wild: every kind is read right, or refused with a clear message.

A kind is a row of a table, which goes through the manifest, the check and the reading as in the
workflow. docs/audio.md lists the same kinds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import odd_clips_refused  # noqa: F401 - fills REFUSED
import odd_formats  # noqa: F401 - fills READ
import odd_recordings  # noqa: F401 - fills READ
import pandas as pd
import pytest
from odd_clips import READ, REFUSED, Refusal, Sound

from speechlasso.audio.reading import read_utterance
from speechlasso.data.manifest import find_clip_problems, read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.errors import InputError

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "audio.md"


def manifest_of(folder: Path, rows: list[Sound] | list[Refusal]) -> pd.DataFrame:
    """What is read of a table with these rows; their ids are their numbers."""
    table = pd.DataFrame(
        {
            "id": map(str, range(len(rows))),
            "text": "",
            "label": "x",
            "audio": [row.clips for row in rows],
            "start": [row.start for row in rows],
            "end": [row.end for row in rows],
        }
    )
    table.to_parquet(folder / "table.parquet")  # unlike CSV it holds any character
    columns = Columns(start="start", end="end")
    return read_manifest(Table(path=str(folder / "table.parquet"), columns=columns))


def rows_of(built: object) -> list:
    return built if isinstance(built, list) else [built]


@pytest.mark.parametrize("kind", READ)
def test_read(kind, tmp_path):
    sounds = rows_of(READ[kind](tmp_path))
    manifest = manifest_of(tmp_path, sounds)
    assert find_clip_problems(manifest)["problem"].tolist() == []
    for sound, row in zip(sounds, manifest.itertuples(), strict=True):
        found = read_utterance(row.audio, sound.rate, row.start, row.end)
        assert found.dtype == np.float32
        assert found.shape == np.shape(sound.samples)
        np.testing.assert_allclose(found, sound.samples, rtol=0, atol=sound.tolerance)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, tmp_path):
    refusals = rows_of(REFUSED[kind](tmp_path))
    try:
        manifest = manifest_of(tmp_path, refusals)
    except InputError as error:
        messages = str(error).splitlines()[1:-1]
    else:
        with nobody() if kind == "A file that may not be read" else nullcontext():
            messages = find_clip_problems(manifest)["problem"]
    for refusal, message in zip(refusals, messages, strict=True):
        assert refusal.words in message


@contextmanager
def nobody() -> Iterator[None]:
    """Lay down for a while the administrator's right to read anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_document_lists_these_kinds_and_what_happens():
    table = re.findall(r"^\| (.+?) \| (.+?) \|$", DOCUMENT.read_text(encoding="utf-8"), re.M)
    document = {kind: outcome for kind, outcome in table if not kind.startswith(("--", "what"))}
    outcomes = {kind: "read" for kind in READ} | {kind: "refused" for kind in REFUSED}
    assert {kind: outcome.split()[0].strip(",:;") for kind, outcome in document.items()} == outcomes
