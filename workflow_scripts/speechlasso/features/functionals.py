"""Functionals: statistics over time of a clip's cepstra, pitch and energy.

Source: the feature sets of the INTERSPEECH challenges (Schuller et al. 2009), with quantiles in
place of extremes.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from speechlasso.features.spectral_frames import (
    N_CEPSTRA,
    N_SPECTRAL,
    VOICED_ENERGY_RANGE,
    VOICING_THRESHOLD,
    pitch_contour,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DELTA = (-0.2, -0.1, 0.0, 0.1, 0.2)  # least-squares slope over two frames to each side
CONSTANT = 1e-6  # standard deviation of what does not vary, whose skewness is 0


def functionals(frames: np.ndarray) -> np.ndarray:
    """Statistics over one utterance's frames of speech.

    Parameters
    ----------
    frames
        (n_frames, N_SPECTRAL), as `spectral_frames.spectral_frames` makes them.

    Returns
    -------
    numpy.ndarray
        float32 (250,): mean, deviation, skewness and `QUANTILES` of cepstra, energy and
        periodicity, then of their deltas, over frames less than `VOICED_ENERGY_RANGE` below the
        loudest; the same of pitch over voiced ones; the shares of voiced frames and of speech.
    """
    cepstra_and_energy, frequency, periodicity = np.split(
        frames.astype(np.float32), [N_CEPSTRA + 1, N_SPECTRAL - 1], axis=1
    )
    energy = cepstra_and_energy[:, -1]
    speech = energy > energy.max() - VOICED_ENERGY_RANGE
    voiced = speech & (periodicity[:, 0] > VOICING_THRESHOLD)
    pitch, _ = pitch_contour(frequency[:, 0], voiced)
    contours = np.hstack([cepstra_and_energy, periodicity])
    deltas = correlate1d(contours, DELTA, axis=0, mode="nearest")
    of_voice = pitch[voiced] if voiced.any() else pitch
    parts = [
        _statistics(contours[speech]),
        _statistics(deltas[speech]),
        _statistics(of_voice[:, None]),
    ]
    shares = [voiced.mean(), speech.mean()]
    return np.concatenate([*parts, shares]).astype(np.float32)


def _statistics(contours: np.ndarray) -> np.ndarray:
    """Of each column, one statistic after the other: (n_statistics * n_columns,)."""
    contours = contours.astype(np.float64)
    mean, deviation = contours.mean(axis=0), contours.std(axis=0)
    varies = deviation > CONSTANT
    cubes = (((contours - mean) / np.where(varies, deviation, 1)) ** 3).mean(axis=0)
    quantiles = np.quantile(contours, QUANTILES, axis=0)
    return np.concatenate([mean, deviation, np.where(varies, cubes, 0), *quantiles])
