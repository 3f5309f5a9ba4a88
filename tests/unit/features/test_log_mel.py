"""Log-mel frames against transformers' spectrogram, and odd clips."""

from __future__ import annotations

import numpy as np
import pytest
from made_voices import RATE, speech_like
from transformers.audio_utils import mel_filter_bank, spectrogram

from speechlasso.features import short_time
from speechlasso.features.log_mel import FRAME_RATE, N_BANDS, log_mel_frames

WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
FILTERS = mel_filter_bank(257, 80, 60.0, 7600.0, RATE, norm=None, mel_scale="htk")


def reference(waveform: np.ndarray) -> np.ndarray:
    """In double precision; 120 samples of silence before the first window, which is centred on
    sample 80, and enough behind the last."""
    centred = waveform.astype(np.float64) - waveform.mean(dtype=np.float64)
    n_frames = -(-len(waveform) // 160)
    padded = np.pad(centred, (120, (n_frames - 1) * 160 + 400 - 120 - len(waveform)))
    bands = spectrogram(
        padded,
        window=WINDOW,
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        mel_filters=FILTERS,
        mel_floor=0.0,
        dtype=np.float64,
    )
    return np.log(bands.T / (WINDOW**2).sum() + 1e-6)


def test_every_band_has_a_bin():
    assert (short_time.mel_filters(512, N_BANDS).max(axis=0) > 0).all()
    np.testing.assert_allclose(short_time.mel_filters(512, N_BANDS), FILTERS, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 2, 159, 160, 161, 400, 1_601, 32_000])
def test_frames_follow_the_reference_however_short_the_clip(n_samples):
    waveform = speech_like(seed=5)[:n_samples]
    frames = log_mel_frames(waveform)
    assert frames.dtype == np.float32 and FRAME_RATE == 100
    assert frames.shape == (-(-n_samples // 160), N_BANDS)
    np.testing.assert_allclose(frames, reference(waveform), atol=2e-3)


@pytest.mark.parametrize("level", [0.0, 0.25, -1.0])
def test_silence_and_a_constant_are_the_floor(level):
    frames = log_mel_frames(np.full(1_000, level, dtype=np.float32))
    np.testing.assert_allclose(frames, np.log(1e-6), rtol=1e-5)


def test_a_tone_is_loudest_in_its_band_and_ten_times_as_loud_is_log_100_more():
    tone = 0.05 * np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    frames, louder = log_mel_frames(tone), log_mel_frames(10 * tone)
    edges = 2595 * np.log10(1 + np.array([60, 7600, 1_000]) / 700)
    band = (edges[2] - edges[0]) / (edges[1] - edges[0]) * (N_BANDS + 1) - 1
    assert (np.abs(frames.argmax(axis=1)[2:-2] - band) < 1).all()
    peak = frames.argmax(axis=1)[50]
    assert louder[50, peak] - frames[50, peak] == pytest.approx(np.log(100), abs=1e-3)


def test_chunks_do_not_show(monkeypatch):
    waveform = speech_like(seed=2)
    whole = log_mel_frames(waveform)
    monkeypatch.setattr(short_time, "FRAMES_PER_CHUNK", 7)
    np.testing.assert_allclose(log_mel_frames(waveform), whole, atol=1e-4)
