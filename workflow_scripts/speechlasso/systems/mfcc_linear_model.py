"""Fit the system `mfcc_linear`, and open what was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.functionals import functionals
from speechlasso.systems.linear_of_features_model import FittedLinear, fit_linear
from speechlasso.systems.mfcc_linear import MFCCLinear

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fit on the training rows and choose C on the validation rows, or by inner folds."""
    return fit_linear(inputs, settings, folder, functionals_of)


def open(folder: Path) -> FittedLinear:
    return FittedLinear.open(folder, MFCCLinear, functionals_of)


def functionals_of(frames: FrameFiles, arm: MFCCLinear) -> dict[str, np.ndarray]:
    """Of each utterance, as `features.functionals` makes them."""
    return {name: functionals(of_clip[:, 0]) for name, of_clip in frames.read()}
