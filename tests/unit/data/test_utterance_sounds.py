"""The sound of whole utterances: of clips in a row, of segments, cut after some seconds."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechlasso.audio.clip_files import ClipError
from speechlasso.data import utterance_sounds as sounds
from speechlasso.data.recorded_clips import CLIPS, RecordedClips
from speechlasso.digests import fingerprint
from speechlasso.errors import InputError
from speechlasso.files import write_parquet

RATES = {"low": (8_000, 300), "high": (22_050, 900)}
"""Of two clips of 1.5 s: sample rate, and pitch in Hz."""


@pytest.fixture
def clips(tmp_path):
    for name, (rate, pitch) in RATES.items():
        time = np.arange(int(1.5 * rate)) / rate
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * pitch * time), rate)
    return {name: str(tmp_path / f"{name}.wav") for name in RATES}


@pytest.fixture
def rows(clips):
    low, high = clips["low"], clips["high"]
    table = pd.DataFrame({"id": ["joined", "part", "open"], "audio": [[low, high], [high], [low]]})
    return table.assign(start=[np.nan, 0.25, 1.0], end=[np.nan, 0.75, np.nan])


def heard(sound):
    """Seconds, and the strongest pitch in the first and in the last 0.3 s."""
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert samples.ndim == 1
    n = int(0.3 * rate)
    pitches = [
        np.abs(np.fft.rfft(part)).argmax() * rate / n for part in (samples[:n], samples[-n:])
    ]
    return [len(samples) / rate, *pitches]


def test_lengths(rows):
    seconds = sounds.utterance_seconds(rows)
    assert seconds.to_dict() == pytest.approx({"joined": 3.0, "part": 0.5, "open": 0.5})
    whole = sounds.utterance_seconds(rows.drop(columns=["start", "end"]))
    assert whole.to_dict() == pytest.approx({"joined": 3.0, "part": 1.5, "open": 1.5})


def test_the_sound_is_that_of_the_utterance_and_its_beginning_alone(rows):
    by_id = rows.set_index("id")
    low, high = (pytest.approx(pitch, abs=10) for _, pitch in RATES.values())
    near = {"abs": 0.1}  # MP3 comes in frames
    for row_id, most, seconds, pitches in (
        ("joined", 10.0, 3.0, [low, high]),
        ("joined", 1.2, 1.2, [low, low]),
        ("joined", 2.5, 2.5, [low, high]),
        ("part", 10.0, 0.5, [high, high]),
        ("open", 10.0, 0.5, [low, low]),
    ):
        sound = sounds.utterance_sound(by_id.loc[row_id], most)
        assert heard(sound) == [pytest.approx(seconds, **near), *pitches]
        assert sound == sounds.utterance_sound(by_id.loc[row_id], most)
        assert len(sound) < 3200 * (seconds + 0.2)


def test_examples_in_their_order(rows):
    by_id = rows.set_index("id", drop=False)
    seconds = sounds.utterance_seconds(rows)
    table = sounds.example_clips(["open", "joined"], by_id, seconds)
    assert table["id"].tolist() == ["open", "joined"]
    assert table["seconds"].tolist() == pytest.approx([0.5, 3.0])
    assert table["sound"][1] == sounds.utterance_sound(by_id.loc["joined"], 10)
    assert list(sounds.example_clips([], by_id, None)) == ["id", "sound", "seconds"]


def test_clips_that_were_replaced_or_are_gone(rows, clips, tmp_path):
    write_parquet(tmp_path / "manifest/manifest.parquet", rows)
    marks = {clip: fingerprint(clip) for clip in clips.values()}
    RecordedClips(marks).write(tmp_path / "manifest" / CLIPS)
    folder = tmp_path / "manifest"
    found = sounds.read_utterances([folder, folder], {"part", "open"})
    assert found.index.tolist() == found["id"].tolist() == ["part", "open"]
    soundfile.write(clips["low"], np.zeros(800), 8_000)
    assert len(sounds.read_utterances([folder], {"part"})) == 1, "the other clip is of no matter"
    with pytest.raises(InputError, match=r"low.wav: is not the clip that the manifest lists"):
        sounds.read_utterances([folder], {"part", "open"})
    (tmp_path / "low.wav").unlink()
    with pytest.raises(ClipError, match=r"low.wav"):
        sounds.utterance_seconds(rows)
