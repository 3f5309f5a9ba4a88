"""Audio tokenizers: each turns a waveform into codes, n_layers x n_frames integers.

`cards.TOKENIZERS` names them, and `cards.TokenizerCard` says what their modules have. Importing
this package imports none of them, and so never torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class AudioTokenizer(Protocol):
    """What every tokenizer can do.

    Attributes
    ----------
    sample_rate
        Of the waveforms that `encode` takes, in Hz.
    frame_rate
        Frames per second of the codes.
    n_layers, codebook_size
        Codes of each layer lie in [0, codebook_size).
    """

    sample_rate: int
    frame_rate: float
    n_layers: int
    codebook_size: int

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Turn waveforms into codes; a clip's codes do not depend on the other clips.

        Parameters
        ----------
        waveforms
            float32 (n_samples,) each, at `sample_rate`, at least one sample.

        Returns
        -------
        Integers (n_layers, n_frames) for each waveform, n_frames = ceil(n_samples * frame_rate /
        sample_rate).

        Raises
        ------
        InputError
            If a waveform is empty, has several channels or holds a value that is not finite.
        """
