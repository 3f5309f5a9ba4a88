"""Opening what turns waveforms into frames: a pretrained speech model, or acoustics without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechlasso.features import log_mel, spectral_frames
from speechlasso.features.settings import Encoder
from speechlasso.features.waveforms import checked

if TYPE_CHECKING:  # torch takes seconds to import
    from speechlasso.features.hidden_states import HiddenStates

SAMPLE_RATE = 16_000  # Hz, of all encoders


@dataclass(frozen=True)
class AcousticFrames:
    """Frames that are computed from the waveform alone, as the only layer.

    Attributes
    ----------
    of_waveform
        From float32 (n_samples,) at SAMPLE_RATE to float32 (n_frames, size).
    frame_rate
        Frames per second.
    """

    of_waveform: Callable[[np.ndarray], np.ndarray]
    size: int
    frame_rate: float

    @property
    def layers(self) -> list[int]:
        return [0]

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 (n_frames, 1, size) of each."""
        return [self.of_waveform(checked(waveform))[:, None] for waveform in waveforms]


ACOUSTIC = {
    "spectral": AcousticFrames(
        spectral_frames.spectral_frames, spectral_frames.N_SPECTRAL, spectral_frames.FRAME_RATE
    ),
    "logmel": AcousticFrames(log_mel.log_mel_frames, log_mel.N_BANDS, log_mel.FRAME_RATE),
}
"""By the names of `features.settings.ACOUSTIC_ENCODERS`."""


def open_encoder(settings: Encoder, layers: list[int] | None) -> HiddenStates | AcousticFrames:
    """The encoder of the settings: it has `encode(waveforms)`, `layers`, `size` and `frame_rate`.

    Parameters
    ----------
    layers
        Of those that it has; None for all.

    Raises
    ------
    InputError
        If a model cannot be loaded or lacks a layer.
    """
    if settings.is_acoustic:
        return ACOUSTIC[settings.model]
    from speechlasso.features.hidden_states import load_hidden_states

    return load_hidden_states(
        settings.model,
        settings.revision,
        layers,
        settings.precision,
        section="encoder",
        own_length=settings.padding == "none",
    )
