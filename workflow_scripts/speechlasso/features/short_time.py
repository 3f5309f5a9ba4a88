"""Short-time spectra: overlapping windows of a waveform, their power, and mel bands of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.fft import rfft

SAMPLE_RATE = 16_000  # Hz; speech has little energy above 8 kHz
FRAMES_PER_CHUNK = 3000  # so many windows at a time bound the memory of a long recording
MEL_RANGE = (60.0, 7600.0)  # Hz; leaves out direct current and mains hum's fundamental
BAND_FLOOR = 1e-6  # band power, about -60 dB of full scale: below it, recording noise dominates


def windows(waveform: np.ndarray, window: int, hop: int) -> Iterator[np.ndarray]:
    """Yield the overlapping windows, float32 (at most FRAMES_PER_CHUNK, window), as views.

    Window t is centred on sample hop * t + hop / 2; the waveform counts as silent beyond its ends.
    There are ceil(n_samples / hop) of them.
    """
    n_frames = -(-len(waveform) // hop)
    margin = (window - hop) // 2
    padded = np.zeros((n_frames - 1) * hop + window, dtype=np.float32)
    padded[margin : margin + len(waveform)] = waveform
    views = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    for start in range(0, n_frames, FRAMES_PER_CHUNK):
        yield views[start : start + FRAMES_PER_CHUNK]


def without_offset(waveform: np.ndarray) -> np.ndarray:
    return waveform - waveform.mean(dtype=np.float64).astype(np.float32)


def power_spectrum(windowed: np.ndarray, n_fft: int) -> np.ndarray:
    """Of each window, float32 (n_windows, n_fft // 2 + 1)."""
    spectrum = rfft(windowed, n=n_fft, axis=1)
    return np.square(spectrum.real) + np.square(spectrum.imag)


def log_bands(power: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Natural log of the power in each mel band, not below BAND_FLOOR: (n_windows, n_bands)."""
    return np.log(power @ filters + np.float32(BAND_FLOOR))


@cache
def hann(length: int) -> np.ndarray:
    """Periodic Hann window: a constant offset leaks into one bin only, which the filters skip."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


@cache
def mel_filters(n_fft: int, n_bands: int) -> np.ndarray:
    """Triangular filters evenly spaced on the mel scale (HTK's), float32 (n_bins, n_bands)."""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in MEL_RANGE)
    mel = np.linspace(lowest, highest, n_bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    below, centre, above = edges[:-2], edges[1:-1], edges[2:]
    frequency = bin_frequencies(n_fft)[:, None]
    rising = (frequency - below) / (centre - below)
    falling = (above - frequency) / (above - centre)
    return np.minimum(rising, falling).clip(0).astype(np.float32)


def bin_frequencies(n_fft: int) -> np.ndarray:
    """Hz, (n_fft // 2 + 1,)."""
    return np.arange(n_fft // 2 + 1) * (SAMPLE_RATE / n_fft)
