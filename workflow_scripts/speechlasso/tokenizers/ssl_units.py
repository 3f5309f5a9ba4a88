"""Units: hidden states of a speech model, clustered by k-means on the training clips.

Sources: HuBERT (Hsu et al. 2021, section II-B), units as pseudo-text (Lakhotia et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from speechlasso.errors import InputError
from speechlasso.features.hidden_states import SAMPLE_RATE, HiddenStates, load_hidden_states
from speechlasso.tokenizers import residual_kmeans
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.frame_sampling import sample_frames
from speechlasso.tokenizers.learned_file import read_learned, write_learned
from speechlasso.tokenizers.settings import SSLUnitsMethod

FORMAT = "speechlasso ssl_units 1"  # raise the number when units or files change their meaning

__all__ = ["SAMPLE_RATE", "SSLUnits", "fit", "load"]


@dataclass(frozen=True)
class Origin:
    """Whose hidden states the units are."""

    model: str
    revision: str | None
    layer: int

    @classmethod
    def of(cls, settings: SSLUnitsMethod) -> Origin:
        model = settings.model or TOKENIZERS[settings.method].usual_model
        return cls(model, settings.revision, settings.layer)

    def hidden_states(self, settings: SSLUnitsMethod) -> HiddenStates:
        return load_hidden_states(self.model, self.revision, [self.layer], settings.precision)


class SSLUnits:
    """Tokenizer of hidden states; made by `fit` or `load`.

    Its attributes are those of `AudioTokenizer`.
    """

    sample_rate = SAMPLE_RATE
    n_layers = 1

    def __init__(self, origin: Origin, states: HiddenStates, centroids: np.ndarray) -> None:
        """`centroids`: float32 (codebook_size, hidden size)."""
        self.frame_rate = states.frame_rate
        self.codebook_size = len(centroids)
        self.centroids = centroids[None]
        self._origin = origin
        self._centroids = centroids
        self._encoder = replace(states.encoder, network=self._units_by(states.encoder.network))

    def _units_by(
        self, hidden_states: Callable[[torch.Tensor], np.ndarray]
    ) -> Callable[[torch.Tensor], np.ndarray]:
        """The network, followed by the nearest centroid: units take less memory than states."""

        def units(sounds: torch.Tensor) -> np.ndarray:
            states = hidden_states(sounds)
            frames = states.reshape(-1, states.shape[-1])
            return residual_kmeans.nearest(frames, self._centroids).reshape(states.shape[:2])

        return units

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Units, int16 (1, n_frames) each; see `AudioTokenizer.encode`."""
        return [units[None].astype(np.int16) for units in self._encoder.encode(waveforms)]

    def save(self, path: str | Path) -> None:
        """Write centroids and origin as one safetensors file; the model is only named."""
        settings = {"format": FORMAT, **asdict(self._origin), "frame_rate": self.frame_rate}
        write_learned(path, {"centroids": self._centroids}, settings)


def fit(waveforms: Iterable[np.ndarray], settings: SSLUnitsMethod) -> SSLUnits:
    """Learn the centroids, on training clips only.

    Parameters
    ----------
    waveforms
        float32 (n_samples,) each, at SAMPLE_RATE; read once, one at a time.
    settings
        Up to twice `max_frames` hidden states are held. Same waveforms and same seed give the same
        bytes.

    Raises
    ------
    InputError
        If the model cannot be loaded, a setting does not fit it, a waveform is unusable, or there
        are too few frames.
    """
    if settings.max_frames < settings.codebook_size:
        raise InputError(
            f"tokenizer.max_frames: {settings.max_frames} frames are too few for "
            f"codebook_size = {settings.codebook_size}; raise it"
        )
    origin = Origin.of(settings)
    states = origin.hidden_states(settings)
    rng = np.random.default_rng(settings.seed)
    (frames,) = sample_frames(
        (
            (of_clip[:, 0],)
            for waveform in waveforms
            for of_clip in states.encoder.encode([waveform])
        ),
        max_frames=settings.max_frames,
        codebook_size=settings.codebook_size,
        rng=rng,
    )
    (centroids,) = residual_kmeans.fit_codebooks(
        frames,
        n_layers=1,
        codebook_size=settings.codebook_size,
        seed=int(rng.integers(2**31)),
    )
    return SSLUnits(origin, states, centroids)


def load(settings: SSLUnitsMethod, path: str | Path) -> SSLUnits:
    """Open a tokenizer that was saved.

    The model is read again, from where the settings say: a local directory may have moved.

    Raises
    ------
    InputError
        If the file or the model cannot be read, or they do not belong together.
    """
    arrays, saved = read_learned(path, FORMAT)
    centroids = arrays["centroids"]
    origin = Origin.of(settings)
    wanted = asdict(origin)
    if Path(origin.model).is_dir():
        del wanted["model"]
    differing = [name for name in wanted if saved[name] != wanted[name]]
    if differing:
        raise InputError.listing(
            f"{path} was fitted with other settings:",
            [f"{name} is {wanted[name]!r}, was {saved[name]!r}" for name in differing],
            "Fit the tokenizer again.",
        )
    states = origin.hidden_states(settings)
    if states.size != centroids.shape[1]:
        raise InputError(
            f"{path} was fitted to {centroids.shape[1]} features, but {origin.model!r} has "
            f"{states.size}. Fit the tokenizer again."
        )
    return SSLUnits(origin, states, centroids)
