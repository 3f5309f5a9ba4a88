"""Functionals against plain statistics of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from made_voices import RATE, speech_like, voice
from scipy import stats
from scipy.signal import savgol_filter

from speechlasso.features.functionals import QUANTILES, functionals
from speechlasso.features.spectral_frames import N_SPECTRAL, spectral_frames


def plain_statistics(columns: np.ndarray) -> list[np.ndarray]:
    return [
        np.mean(columns, axis=0),
        np.std(columns, axis=0),
        stats.skew(columns, axis=0),
        *(np.percentile(columns, 100 * share, axis=0) for share in QUANTILES),
    ]


def test_they_are_statistics_over_the_frames_of_speech():
    """Deltas are slopes of a straight line through five frames, as Savitzky and Golay fit it."""
    pause = np.zeros(RATE // 4, dtype=np.float32)
    frames = spectral_frames(np.concatenate([speech_like(seed=2), pause])).astype(np.float64)
    found = functionals(frames)
    assert found.shape == (250,) and found.dtype == np.float32
    contours = np.delete(frames, 14, axis=1)
    slopes = savgol_filter(contours, 5, 1, deriv=1, axis=0, mode="nearest")
    speech = frames[:, 13] > frames[:, 13].max() - 7
    n = 8 * 15
    for part, columns in ((found[:n], contours), (found[n : 2 * n], slopes)):
        expected = np.concatenate(plain_statistics(columns[speech]))
        np.testing.assert_allclose(part, expected, rtol=1e-3, atol=1e-3)
    voiced = speech & (frames[:, 15] > 0.55)
    assert 0.05 < voiced.mean() < speech.mean() < 1
    np.testing.assert_allclose(found[-2:], [voiced.mean(), speech.mean()], rtol=1e-6)


def test_pitch_is_that_of_the_voice():
    """Silence around it, and how loud it is, change nothing of it."""
    silence = np.zeros(RATE // 2, dtype=np.float32)
    for hertz in (110, 220):
        sound = np.concatenate([silence, voice(hertz), silence])
        mean, deviation = functionals(spectral_frames(sound))[240:242]
        assert 2**mean == pytest.approx(hertz, rel=0.02) and deviation < 0.02


@pytest.mark.parametrize("n_samples", [1, 320, 32_000])
def test_clips_without_any_voice_or_change_have_numbers(n_samples):
    found = functionals(spectral_frames(np.full(n_samples, 0.25, dtype=np.float32)))
    assert found.shape == (250,) and np.isfinite(found).all()
    assert found[-2] == 0 and found[-1] == 1


def test_half_precision_is_enough():
    frames = spectral_frames(speech_like(seed=3))
    assert frames.shape[1] == N_SPECTRAL
    whole, half = functionals(frames), functionals(frames.astype(np.float16))
    # Skewness and shares apart, whose steps are larger where a threshold is crossed.
    scale = np.abs(whole).max()
    assert np.abs(whole - half).max() < 0.02 * scale
