"""Log-mel frames: what most speech models are given, without any model."""

from __future__ import annotations

import numpy as np

from speechlasso.features.short_time import (
    SAMPLE_RATE,
    hann,
    log_bands,
    mel_filters,
    power_spectrum,
    windows,
    without_offset,
)

WINDOW = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms
N_FFT = 512  # a bin in every band, the narrow ones at the lowest frequencies included
N_BANDS = 80
FRAME_RATE = SAMPLE_RATE / HOP


def log_mel_frames(waveform: np.ndarray) -> np.ndarray:
    """Natural log of the power in mel bands, 100 times a second.

    Frame t is centred on sample HOP * t + HOP / 2; the waveform counts as silent beyond its ends.

    Parameters
    ----------
    waveform
        float32 (n_samples,) at SAMPLE_RATE, at least one sample.

    Returns
    -------
    numpy.ndarray
        float32 (n_frames, N_BANDS), with n_frames = ceil(n_samples / HOP).
    """
    window, filters = hann(WINDOW), mel_filters(N_FFT, N_BANDS)
    scale = np.square(window).sum()
    return np.concatenate(
        [
            log_bands(power_spectrum(block * window, N_FFT) / scale, filters)
            for block in windows(without_offset(waveform), WINDOW, HOP)
        ]
    )
