"""Audio reading, against soundfile and soxr called by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechlasso.audio import clip_problem, read_clip, read_utterance
from speechlasso.errors import InputError

BYTES_PER_SAMPLE = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}


def noise(n_frames: int, n_channels: int = 1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, 0.1, (n_frames, n_channels))
    return samples.astype(np.float32).squeeze()


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(16_000), 16_000, subtype="PCM_16")
    return path


def shorten(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_reads_samples_unchanged_at_their_own_rate(wav: Path) -> None:
    clip = read_clip(wav, 16_000)
    reference = soundfile.read(wav, dtype="int16")[0] / 32_768
    assert clip.dtype == np.float32
    np.testing.assert_array_equal(clip, reference.astype(np.float32))


def test_averages_channels_then_resamples(tmp_path: Path) -> None:
    path = tmp_path / "stereo.flac"
    channels = noise(22_050, n_channels=2)
    soundfile.write(path, channels, 22_050, subtype="PCM_24")
    expected = soxr.resample((channels[:, 0] + channels[:, 1]) / 2, 22_050, 16_000, quality="HQ")
    clip = read_clip(path, 16_000)
    assert clip.dtype == np.float32 and clip.shape == (16_000,)
    np.testing.assert_allclose(clip, expected, atol=1e-6)


def test_a_tone_keeps_pitch_and_level_when_resampled(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    seconds = np.arange(44_100) / 44_100
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * seconds), 44_100, subtype="FLOAT")
    inner = slice(1_000, -1_000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(read_clip(path, 16_000)[inner], expected[inner], atol=1e-3)


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(44_100), 44_100)
    assert read_clip(path, 16_000).tobytes() == read_clip(path, 16_000).tobytes()


def test_joins_clips_of_different_rates_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.wav", tmp_path / "second.wav"
    soundfile.write(first, noise(8_000, seed=1), 8_000)
    soundfile.write(second, noise(4_000, seed=2), 16_000)
    joined = read_utterance([first, second], 16_000)
    assert joined.shape == (20_000,)
    np.testing.assert_array_equal(joined[:16_000], read_clip(first, 16_000))
    np.testing.assert_array_equal(joined[16_000:], read_clip(second, 16_000))


def test_an_utterance_without_clips_is_an_error() -> None:
    with pytest.raises(InputError, match="at least one audio clip"):
        read_utterance([], 16_000)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_sound_clips_have_no_problem(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"clip.{extension}"
    soundfile.write(path, noise(16_000, n_channels=2), 16_000)
    assert clip_problem(path) is None


def test_missing_clip_and_folder(tmp_path: Path) -> None:
    assert clip_problem(tmp_path / "none.wav") == "does not exist"
    assert clip_problem(tmp_path) == "is not a file"


def test_empty_files(tmp_path: Path) -> None:
    no_bytes, no_samples = tmp_path / "bytes.wav", tmp_path / "samples.wav"
    no_bytes.touch()
    soundfile.write(no_samples, np.zeros(0), 16_000)
    assert clip_problem(no_bytes) == "is an empty file"
    assert clip_problem(no_samples) == "contains no samples"


def test_a_file_that_is_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("not a sound")
    assert clip_problem(path).startswith("cannot be decoded")
    with pytest.raises(InputError, match=r"text\.wav: cannot be decoded"):
        read_clip(path, 16_000)


def test_reading_a_missing_clip_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.wav: does not exist"):
        read_clip(tmp_path / "none.wav", 16_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    path = tmp_path / "clip.wav"
    samples = noise(200_000)
    samples[-1] = value
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    assert clip_problem(path) == "contains samples that are not finite numbers"


@pytest.mark.parametrize("subtype", BYTES_PER_SAMPLE)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_truncated_wav(tmp_path: Path, subtype: str, n_channels: int) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(16_000, n_channels), 16_000, subtype=subtype)
    assert clip_problem(path) is None
    n_promised = soundfile.info(path).frames * n_channels * BYTES_PER_SAMPLE[subtype]
    n_header = path.stat().st_size - n_promised
    n_held = shorten(path, 0.6).stat().st_size - n_header
    assert soundfile.info(path).frames < 16_000  # the decoder does not complain
    assert clip_problem(path) == (
        f"is truncated (its header promises {n_promised} bytes of sound, it holds {n_held})"
    )


def test_truncation_by_a_single_frame_is_noticed(wav: Path) -> None:
    wav.write_bytes(wav.read_bytes()[:-2])
    assert "promises 32000 bytes of sound, it holds 31998" in clip_problem(wav)


def test_wav_with_other_chunks_before_the_samples(wav: Path) -> None:
    content = wav.read_bytes()
    note = b"note" + (3).to_bytes(4, "little") + b"abc" + b"\0"  # of odd size, hence padded
    wav.write_bytes(content[:36] + note + content[36:])
    assert clip_problem(wav) is None
    wav.write_bytes(wav.read_bytes()[:-400])
    assert "promises 32000 bytes of sound, it holds 31600" in clip_problem(wav)


def test_wav_recorded_to_a_pipe_has_no_size_and_is_sound(wav: Path) -> None:
    content = bytearray(wav.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    wav.write_bytes(content)
    assert clip_problem(wav) is None
    assert read_clip(wav, 16_000).shape == (16_000,)


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3"])
def test_truncated_compressed_clip(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"clip.{extension}"
    soundfile.write(path, noise(32_000), 16_000)
    assert clip_problem(shorten(path, 0.5)) is not None


@pytest.mark.shared
def test_real_recordings(shared_data: Path) -> None:
    clips = sorted((shared_data / "emodb" / "wav").glob("*.wav"))
    assert [clip_problem(clip) for clip in clips] == [None] * 535
    assert read_clip(clips[0], 16_000).shape == (32_000,)
