"""Audio reading and checking, against soundfile and soxr called by hand."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from sound_bytes import encoded, tone, without_mp3_table

from speechlasso.audio.clip_check import check_clip
from speechlasso.audio.clip_files import ClipError
from speechlasso.audio.clip_headers import Mp3Frames
from speechlasso.audio.reading import read_clip, read_utterance, segment_span
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


def clip_problem(path: Path) -> str | None:
    try:
        check_clip(path)
    except ClipError as error:
        return error.reason
    return None


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


def test_paths_may_be_an_array_as_parquet_gives_them(wav: Path) -> None:
    paths = np.array([str(wav), str(wav)], dtype=object)
    assert read_utterance(paths, 16_000).shape == (32_000,)


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
    assert clip_problem(path) == "is no sound but text"
    with pytest.raises(InputError, match=r"text\.wav: is no sound but text"):
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
    assert "truncated" in clip_problem(shorten(path, 0.5))


def test_the_check_tells_the_length(wav: Path) -> None:
    assert check_clip(wav) == 1.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_frames_add_up_to_what_the_decoder_gives(rate: int, mode: str) -> None:
    how = {"bitrate_mode": mode, "compression_level": 0.5}
    content = encoded(tone(2, rate), "MP3", rate=rate, **how)
    counted = Mp3Frames.of(content)
    assert counted.has_table
    n_frames = soundfile.info(io.BytesIO(content)).frames
    assert 0 <= counted.n_samples - n_frames <= 4 * 1152  # the encoder's lead-in and filling
    assert Mp3Frames.of(without_mp3_table(content)) == Mp3Frames(counted.n_samples, False)


# Segments

FORMATS = {
    **{f"WAV {subtype}": ("WAV", subtype) for subtype in ("PCM_16", "FLOAT", "ULAW", "IMA_ADPCM")},
    **{f"WAV {subtype}": ("WAV", subtype) for subtype in ("MS_ADPCM", "GSM610")},
    "AIFF": ("AIFF", "PCM_16"),
    "CAF ALAC": ("CAF", "ALAC_16"),
    "FLAC": ("FLAC", "PCM_16"),
    "Opus": ("OGG", "OPUS"),
    "Vorbis": ("OGG", "VORBIS"),
    "MP3 constant": ("MP3", "MPEG_LAYER_III"),
    "MP3 variable": ("MP3", "MPEG_LAYER_III"),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Five seconds at 8 kHz in each format, as long as some Vorbis files that cannot be entered in
    the middle."""
    folder = tmp_path_factory.mktemp("recordings")
    samples = tone(5, 8_000) * np.linspace(0.1, 1, 40_000) + 0.1 * noise(40_000)
    for name, (container, subtype) in FORMATS.items():
        how = {}
        if container == "MP3":
            how = {"bitrate_mode": name.split()[1].upper(), "compression_level": 0.5}
        (folder / name).write_bytes(encoded(samples, container, subtype, 8_000, **how))
    return {name: folder / name for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_a_segment_is_a_slice_of_the_whole(recordings: dict[str, Path], name: str) -> None:
    path = recordings[name]
    whole = read_clip(path, 8_000)
    tolerance = 5e-7 if name.startswith("MP3") else 0
    rng = np.random.default_rng(0)
    for start, end in np.sort(rng.uniform(0, 5, (30, 2)), axis=1):
        segment = read_clip(path, 8_000, start, end)
        expected = whole[round(start * 8_000) : round(end * 8_000)]
        assert segment.dtype == np.float32 and segment.shape == expected.shape
        np.testing.assert_allclose(segment, expected, rtol=0, atol=tolerance)


@given(borders=st.lists(st.floats(0.001, 4.999), unique_by=lambda second: round(second, 2)))
def test_segments_side_by_side_make_up_the_whole(
    recordings: dict[str, Path], borders: list[float]
) -> None:
    path = recordings["FLAC"]
    edges = [None, *sorted(borders), math.nan]
    parts = [
        read_clip(path, 8_000, start, end) for start, end in zip(edges, edges[1:], strict=False)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), read_clip(path, 8_000))


def test_a_segment_is_resampled_like_a_file_of_its_own(tmp_path: Path) -> None:
    samples = noise(44_100)
    soundfile.write(tmp_path / "long.wav", samples, 44_100, subtype="FLOAT")
    soundfile.write(tmp_path / "cut.wav", samples[4_410:22_050], 44_100, subtype="FLOAT")
    segment = read_utterance([tmp_path / "long.wav"], 16_000, 0.1, 0.5)
    np.testing.assert_array_equal(segment, read_clip(tmp_path / "cut.wav", 16_000))


def test_a_segment_may_end_a_little_after_its_clip(wav: Path) -> None:
    assert len(read_clip(wav, 16_000, 0.5, 1.01)) == 8_000
    with pytest.raises(ClipError, match=r"the segment ends at 1.02 s, but its clip at 1.000 s"):
        read_clip(wav, 16_000, 0.5, 1.02)


def test_a_segment_of_two_clips_is_an_error(wav: Path) -> None:
    with pytest.raises(InputError, match="a segment lies in one clip, but the row has 2"):
        read_utterance([wav, wav], 16_000, start=0.1)


def test_span_of_a_segment_in_seconds(wav: Path) -> None:
    assert segment_span(wav) == (0, 1)
    assert segment_span(wav, 0.25) == (0.25, 1)
    assert segment_span(wav, 0.25, 0.5) == (0.25, 0.5)


@pytest.mark.shared
def test_real_recordings(shared_data: Path) -> None:
    clips = sorted((shared_data / "emodb" / "wav").glob("*.wav"))
    assert [clip_problem(clip) for clip in clips] == [None] * 535
    assert read_clip(clips[0], 16_000).shape == (32_000,)
