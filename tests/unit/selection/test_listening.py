"""Listening examples sound like the place they are said to be from."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechlasso.audio.excerpts import SAMPLE_RATE, as_mp3, excerpt
from speechlasso.selection import listening
from speechlasso.selection.listening import AROUND, listening_examples

RATE = 22_050


@pytest.fixture
def clip(tmp_path):
    """A pitch of its own for each second: 300, 500, 700 Hz."""
    seconds = np.arange(3 * RATE) / RATE
    pitch = np.array([300, 500, 700])[seconds.astype(int)]
    soundfile.write(tmp_path / "a.wav", 0.4 * np.sin(2 * np.pi * pitch * seconds), RATE)
    return str(tmp_path / "a.wav")


def pitch_of(sound):
    samples, rate = soundfile.read(io.BytesIO(sound))
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * rate / len(samples), len(samples) / rate


@pytest.mark.parametrize(("second", "expected"), [(0, 300), (1, 500), (2, 700)])
def test_an_excerpt_is_that_part_of_the_clip(clip, second, expected):
    pitch, seconds = pitch_of(excerpt(clip, second + 0.25, second + 0.75))
    assert pitch == pytest.approx(expected, abs=10)
    # An encoder of MP3 adds silence at both ends.
    assert 0.5 <= seconds <= 0.7


def test_what_is_around_is_heard_as_far_as_the_clip_goes(clip):
    _, seconds = pitch_of(excerpt(clip, 1.0, 1.5, around=0.25))
    assert 1.0 <= seconds <= 1.2
    pitch, seconds = pitch_of(excerpt(clip, 2.5, 3.0, around=5.0))
    assert 3.0 <= seconds <= 3.2


def test_sounds_are_small_and_repeat():
    speech_like = np.random.default_rng(0).normal(0, 0.3, SAMPLE_RATE)
    assert len(as_mp3(speech_like)) < 4000
    assert as_mp3(speech_like) == as_mp3(speech_like)


def test_the_heaviest_tokens_are_heard(clip, monkeypatch):
    monkeypatch.setattr(listening, "MOST_TOKENS_HEARD", 2)
    tokens = pd.DataFrame({"rank": [0, 1, 2], "weight": [0.5, 0.1, 0.9]})
    occurrences = pd.DataFrame(
        {
            "rank": [0, 0, 1, 2],
            "place": [1, 2, 1, 1],
            "id": ["a", "b", "a", "c"],
            "clip": clip,
            "start": [0.25, 1.25, 2.0, 2.25],
            "end": [0.75, 1.75, 2.5, 2.75],
        }
    )
    found = listening_examples(tokens, occurrences)
    assert found["rank"].tolist() == [0, 0, 2]
    assert found["id"].tolist() == ["a", "b", "c"]
    pitches = [pitch_of(sound)[0] for sound in found["sound"]]
    assert pitches == pytest.approx([300, 500, 700], abs=10)
    assert pitch_of(found["sound"].iloc[0])[1] >= 0.5 + 2 * min(AROUND, 0.25)


def test_nothing_kept_leaves_an_empty_table(tmp_path):
    empty = listening_examples(
        pd.DataFrame({"rank": [], "weight": []}),
        pd.DataFrame(columns=["rank", "place", "id", "clip", "start", "end"]),
    )
    empty.to_parquet(tmp_path / "a.parquet")
    assert list(empty) == ["rank", "place", "id", "start", "end", "sound"]
