"""Fit the system `pooled_linear`, and open what was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.pooling import pooled_frames
from speechlasso.systems.linear_of_features_model import FittedLinear, fit_linear
from speechlasso.systems.pooled_linear import PooledLinear

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fit on the training rows and choose C on the validation rows, or by inner folds."""
    return fit_linear(inputs, settings, folder, _pooled)


def open(folder: Path) -> FittedLinear:
    return FittedLinear.open(folder, PooledLinear, _pooled)


def _pooled(frames: FrameFiles, arm: PooledLinear) -> dict[str, np.ndarray]:
    return pooled_frames(frames, arm.layers)
