"""The waveforms that every tokenizer takes."""

from __future__ import annotations

import numpy as np

from speechlasso.errors import InputError


def checked(waveform: np.ndarray) -> np.ndarray:
    """The waveform as float32 (n_samples,).

    Raises
    ------
    InputError
        If it is empty, has several channels or holds a value that is not finite.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or len(waveform) == 0:
        raise InputError(
            f"A waveform must be one channel of at least one sample, got shape {waveform.shape}."
        )
    if not np.isfinite(waveform).all():
        raise InputError("A waveform contains samples that are not finite numbers.")
    return waveform
