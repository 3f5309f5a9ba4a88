"""Cut and changed files are read whole or refused."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_clips import PLAIN, PLAIN_SAMPLES, au, mp3, rf64, w64
from sound_bytes import RATE, encoded, tone, wav

from speechlasso.audio.clip_check import check_clip
from speechlasso.audio.clip_files import ClipError
from speechlasso.audio.reading import read_clip

VALID = {
    "WAV": PLAIN,
    "RF64": rf64(8_000),
    "W64": w64(),
    "AU": au(),
    "AIFF": encoded(PLAIN_SAMPLES, "AIFF", "PCM_16"),
    "CAF": encoded(PLAIN_SAMPLES, "CAF", "PCM_16"),
    "FLAC": encoded(PLAIN_SAMPLES, "FLAC"),
    "Vorbis": encoded(tone(2), "OGG", "VORBIS"),
    "Opus": encoded(tone(2), "OGG", "OPUS"),
    "MP3": mp3(tone(2), "VARIABLE"),
}
SECONDS = {name: 2.0 if name in ("Vorbis", "Opus", "MP3") else 0.25 for name in VALID}


def checked_and_read(path: Path) -> float | None:
    """The length in seconds of a clip that can be used."""
    try:
        seconds = check_clip(path)
    except ClipError:
        with suppress(ClipError):
            read_clip(path, RATE)
        return None
    assert abs(len(read_clip(path, RATE)) / RATE - seconds) < 0.001
    return seconds


@pytest.mark.slow
@pytest.mark.parametrize("name", VALID)
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_a_file_is_whole_or_refused(name, share, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"cut {name}"
    path.write_bytes(VALID[name][: int(share * len(VALID[name]))])
    assert checked_and_read(path) in (None, SECONDS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", VALID)
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))))
def test_a_file_with_changed_bytes_is_read_or_refused(name, places, tmp_path_factory):
    content = bytearray(VALID[name])
    for share, byte in places:
        content[int(share * len(content))] = byte
    path = tmp_path_factory.getbasetemp() / f"changed {name}"
    path.write_bytes(content)
    checked_and_read(path)


@pytest.mark.slow
@given(
    magic=st.sampled_from([content[:12] for content in VALID.values()] + [b""]), content=st.binary()
)
def test_any_bytes_are_read_or_refused(magic, content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(magic + content)
    checked_and_read(path)


def test_the_memory_of_a_check_does_not_grow_with_the_clip(tmp_path):
    """Ten minutes: 36 MB of samples, were they all decoded at once."""
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.zeros((4_800_000, 2), dtype="<i2"), 8_000))
    check_clip(path)  # loads what it needs
    tracemalloc.start()
    assert check_clip(path) == 600
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6
