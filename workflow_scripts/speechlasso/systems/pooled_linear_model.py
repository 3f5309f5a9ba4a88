"""Fit the system `pooled_linear`, and open what was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechlasso.features.frame_files import FrameFiles
from speechlasso.systems.linear_of_features_model import FittedLinear, fit_linear
from speechlasso.systems.pooled_linear import PooledLinear

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fit on the training rows and choose C on the validation rows, or by inner folds."""
    return fit_linear(inputs, settings, folder, pooled_frames)


def open(folder: Path) -> FittedLinear:
    return FittedLinear.open(folder, PooledLinear, pooled_frames)


def pooled_frames(frames: FrameFiles, arm: PooledLinear) -> dict[str, np.ndarray]:
    """Mean and standard deviation over each utterance's frames, float32 (n_layers * 2 * size,).

    Raises
    ------
    InputError
        If the encoder's frames lack a layer.
    """
    return {
        name: np.concatenate([of_clip.mean(axis=0), of_clip.std(axis=0)], axis=1).ravel()
        for name, half in frames.read(arm.layers)
        for of_clip in [half.astype(np.float32)]
    }
