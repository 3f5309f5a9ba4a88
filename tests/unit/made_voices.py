"""Sounds like voices, made from formulas."""

from __future__ import annotations

import numpy as np
from scipy.signal import sawtooth

from speechlasso.features import spectral_frames as frames

RATE = frames.SAMPLE_RATE


def voice(hertz: float, seconds: float = 1.0, level: float = 0.2) -> np.ndarray:
    """A harmonic sound with the falling spectrum of a voice."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (level * sawtooth(2 * np.pi * hertz * time)).astype(np.float32)


def speech_like(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Syllables of gliding pitch and changing loudness over faint noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = rng.uniform(80, 300) * 2 ** (0.3 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    loudness = np.clip(np.sin(2 * np.pi * rng.uniform(2, 5) * time), 0, None) * rng.uniform(
        0.05, 0.4
    )
    sound = loudness * sawtooth(2 * np.pi * np.cumsum(pitch) / RATE)
    return (sound + rng.normal(0, 0.003, len(time))).astype(np.float32)
