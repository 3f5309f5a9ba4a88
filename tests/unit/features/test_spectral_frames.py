"""Spectral frames against plain references."""

from __future__ import annotations

import numpy as np
import pytest
from made_voices import RATE, speech_like, voice
from scipy.fft import dct
from scipy.signal import sawtooth

from speechlasso.features import short_time
from speechlasso.features import spectral_frames as frames


@pytest.mark.parametrize(
    ("n_samples", "n_frames"), [(1, 1), (320, 1), (321, 2), (3_200, 10), (32_001, 101)]
)
def test_number_of_frames(n_samples: int, n_frames: int) -> None:
    streams = frames.frame_streams(np.ones(n_samples, dtype=np.float32))
    assert len(streams) == len(frames.STREAMS)
    for stream in streams:
        assert stream.dtype == np.float32
        assert len(stream) == n_frames
        assert np.isfinite(stream).all()


def plain_cepstra_and_energy(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frame by frame, band by band, in double precision, with the DCT written as a matrix."""
    length, n_bands = 512, 32
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frequency = np.arange(length // 2 + 1) * RATE / length
    mel_edges = np.linspace(*(2595 * np.log10(1 + np.array([60, 7600]) / 700)), n_bands + 2)
    edges = 700 * (10 ** (mel_edges / 2595) - 1)
    basis = dct(np.eye(n_bands), type=2, norm="ortho", axis=0)
    cepstra, energy = [], []
    for centre in range(160, len(waveform) + 160, 320):
        samples = np.zeros(length)
        for position in range(length):
            source = centre - length // 2 + position
            if 0 <= source < len(waveform):
                samples[position] = waveform[source]
        power = np.abs(np.fft.fft(samples * window)[: length // 2 + 1]) ** 2 / (window**2).sum()
        bands = [
            np.log(np.interp(frequency, edges[band : band + 3], [0, 1, 0]) @ power + 1e-6)
            for band in range(n_bands)
        ]
        cepstra.append((basis @ bands)[1:14])
        inside = (frequency >= 60) & (frequency < 7600)
        energy.append(max(np.log(2 * power[inside].sum() / length + 1e-300), -14))
    return np.array(cepstra), np.array(energy)


def test_cepstra_and_energy_follow_the_plain_reference() -> None:
    waveform = speech_like(seed=1, seconds=0.5)
    cepstra, energy = frames.cepstra_and_energy(waveform)
    expected_cepstra, expected_energy = plain_cepstra_and_energy(waveform.astype(np.float64))
    np.testing.assert_allclose(cepstra, expected_cepstra, atol=1e-3)
    np.testing.assert_allclose(energy, expected_energy, atol=1e-4)


def test_energy_is_the_power_of_the_sound() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE)
    _, energy = frames.cepstra_and_energy(tone.astype(np.float32))
    np.testing.assert_allclose(energy[3:-3], np.log(0.5**2 / 2), atol=0.01)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = speech_like(seed=2)
    whole = frames.frame_streams(waveform)
    monkeypatch.setattr(short_time, "FRAMES_PER_CHUNK", 7)
    for stream, chunked in zip(whole, frames.frame_streams(waveform), strict=True):
        np.testing.assert_allclose(chunked, stream, atol=2e-3)


@pytest.mark.parametrize("hertz", [62, 75, 98, 131, 185, 247, 330, 415, 490])
def test_pitch_of_a_voice(hertz: float) -> None:
    frequency, periodicity = frames.pitch_candidates(voice(hertz))
    semitones_off = 12 * (frequency[3:-3] - np.log2(hertz))
    assert np.abs(semitones_off).max() < 0.3
    assert periodicity[3:-3].min() > 0.95


def test_noise_and_silence_are_not_periodic() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.median(frames.pitch_candidates(noise)[1]) < frames.VOICING_THRESHOLD
    assert (frames.pitch_candidates(np.zeros(RATE, dtype=np.float32))[1] == 0).all()


def test_pitch_contour_bridges_what_is_not_voiced_and_drops_octave_errors() -> None:
    frequency = np.array([9, 7, 7, 8, 7, 7, 9, 9, 8, 8, 8, 5], dtype=np.float32)
    voiced = np.array([0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    contour, median = frames.pitch_contour(frequency, voiced)
    np.testing.assert_allclose(contour[:5], 7)
    np.testing.assert_allclose(contour[9:], 8)
    assert (np.diff(contour[4:]) >= 0).all()
    assert median == 7.5


def test_pitch_contour_of_an_unvoiced_clip_is_flat() -> None:
    contour, median = frames.pitch_contour(np.arange(4, dtype=np.float32), np.zeros(4, dtype=bool))
    np.testing.assert_array_equal(contour, np.full(4, median))


def test_phrase_stream_tells_level_range_and_pauses_apart() -> None:
    def phrase(waveform: np.ndarray) -> dict[str, float]:
        names = ["pitch", "pitch_range", "energy", "energy_range", "voiced"]
        middle = frames.frame_streams(waveform)[frames.STREAMS.index("phrase")][50]
        return dict(zip(names, middle, strict=False))

    steady, high, loud = voice(120, 2), voice(240, 2), voice(120, 2, level=0.4)
    glide = 120 * 2 ** (0.5 * np.sin(2 * np.pi * np.arange(2 * RATE) / RATE))
    gliding = (0.2 * sawtooth(2 * np.pi * np.cumsum(glide) / RATE)).astype(np.float32)
    broken = steady * (np.arange(2 * RATE) % 8_000 < 4_000)

    assert phrase(high)["pitch"] - phrase(steady)["pitch"] == pytest.approx(1, abs=0.05)
    assert phrase(gliding)["pitch_range"] > phrase(steady)["pitch_range"] + 0.1
    assert phrase(loud)["energy"] - phrase(steady)["energy"] == pytest.approx(np.log(4), abs=0.1)
    assert phrase(broken)["energy_range"] > phrase(steady)["energy_range"] + 1
    assert phrase(broken)["voiced"] < phrase(steady)["voiced"] - 0.2


def test_a_constant_offset_changes_nothing() -> None:
    waveform = speech_like(seed=4)
    for plain, offset in zip(
        frames.frame_streams(waveform),
        frames.frame_streams(waveform + np.float32(0.25)),
        strict=True,
    ):
        np.testing.assert_allclose(offset, plain, atol=0.02)
