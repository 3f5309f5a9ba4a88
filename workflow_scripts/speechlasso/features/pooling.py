"""Frames of an utterance as one vector."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from speechlasso.features.frame_files import FrameFiles


def pooled_frames(frames: FrameFiles, layers: Iterable[int] | None) -> dict[str, np.ndarray]:
    """Mean and standard deviation over each utterance's frames, float32 (n_layers * 2 * size,).

    Raises
    ------
    InputError
        If the encoder's frames lack a layer.
    """
    return {
        name: np.concatenate([of_clip.mean(axis=0), of_clip.std(axis=0)], axis=1).ravel()
        for name, half in frames.read(layers)
        for of_clip in [half.astype(np.float32)]
    }
