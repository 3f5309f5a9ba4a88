"""Codes of a pretrained encoder's hidden states, learned on the training clips.

Sources: units of hidden states (HuBERT, Hsu et al. 2021, section II-B), product quantisation (see
`product_quantiser`). Frames come from the stage `encode_audio`, which runs the encoder once for a
corpus; for new recordings the tokenizer runs it by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechlasso.errors import InputError
from speechlasso.features.encoders import SAMPLE_RATE, AcousticFrames, open_encoder
from speechlasso.features.frame_files import FrameKind
from speechlasso.features.settings import Encoder
from speechlasso.files import sha256
from speechlasso.tokenizers.frame_sampling import sample_frames
from speechlasso.tokenizers.learned_file import read_learned, write_learned
from speechlasso.tokenizers.product_quantiser import ProductQuantiser, fit_product_quantiser
from speechlasso.tokenizers.settings import HiddenStateCodesMethod

if TYPE_CHECKING:  # torch takes seconds to import
    from speechlasso.features.hidden_states import HiddenStates

FORMAT = "speechlasso hidden_state_codes 1"  # raise it when codes or files change their meaning


@dataclass(frozen=True)
class HiddenStateCodes:
    """Tokenizer of hidden states; made by `fit_frames` or `load`.

    Attributes
    ----------
    encoder
        Whose hidden states, of these layers and no others.
    pooling_seconds
        Frames are pooled over stretches so long; 0 takes each frame by itself, infinity the whole
        utterance.
    encoder_frame_rate
        Frames per second before they are pooled.
    quantiser
        From frames, or pooled ones, to codes.
    encoder_files
        SHA-256 of the files of a local encoder, by name; empty for one of the hub or a package.
    """

    encoder: Encoder
    pooling_seconds: float
    encoder_frame_rate: float
    quantiser: ProductQuantiser
    encoder_files: dict[str, str]

    sample_rate = SAMPLE_RATE

    @property
    def n_layers(self) -> int:
        return self.quantiser.n_layers

    @property
    def codebook_size(self) -> int:
        return self.quantiser.codebook_size

    @property
    def centroids(self) -> np.ndarray:
        return self.quantiser.centroids

    @property
    def frame_rate(self) -> float:
        """Codes per second; of one for the whole utterance, so slow that it covers an hour."""
        if self.pooling_seconds == 0:
            return self.encoder_frame_rate
        return 1 / min(self.pooling_seconds, 3600.0)

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """Codes, int16 (n_layers, n_codes), of the encoder's frames (n_frames, n_layers, size)."""
        pooled = pool(flat(frames), self.pooling_seconds, self.encoder_frame_rate)
        return self.quantiser.encode(pooled)

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `AudioTokenizer.encode`, by running the encoder."""
        # In half precision, as frames on disk are.
        states = (frames.astype(np.float16) for frames in self._opened.encode(waveforms))
        return [self.encode_frames(frames) for frames in states]

    @cached_property
    def _opened(self) -> HiddenStates | AcousticFrames:
        if digests(self.encoder) != self.encoder_files:
            raise InputError(
                f"encoder.model: the files of {self.encoder.model!r} are not those that the "
                "tokenizer was fitted to; put them back, or run the experiment again"
            )
        return open_encoder(self.encoder, self.encoder.kept_layers)

    def save(self, path: str | Path) -> None:
        """One safetensors file; the encoder is only named."""
        told = {
            "format": FORMAT,
            "encoder": self.encoder.model_dump(mode="json"),
            "pooling_seconds": self.pooling_seconds,
            "frame_rate": self.encoder_frame_rate,
            "encoder_files": self.encoder_files,
        }
        write_learned(path, self.quantiser.arrays(), told)


def fit_frames(
    frames: Iterable[np.ndarray], kind: FrameKind, settings: HiddenStateCodesMethod
) -> HiddenStateCodes:
    """Learn the codes, on frames of training clips only.

    Parameters
    ----------
    frames
        float16 (n_frames, n_layers, size) of each utterance, of the layers that the settings name.
    kind
        What the frames are.

    Raises
    ------
    InputError
        If there are too few frames, or fewer components than asked for.
    """
    rng = np.random.default_rng(settings.seed)
    seconds = settings.pooling_seconds
    (sample,) = sample_frames(
        ((pool(flat(of_clip), seconds, kind.frame_rate),) for of_clip in frames),
        max_frames=settings.max_frames,
        codebook_size=settings.codebook_size,
        rng=rng,
    )
    if settings.n_components > sample.shape[1]:
        raise InputError(
            f"tokenizer.n_components: {settings.n_components} is more than the {sample.shape[1]} "
            "features of the frames; lower it"
        )
    quantiser = fit_product_quantiser(
        sample,
        n_components=settings.n_components,
        n_groups=settings.n_groups,
        n_stages=settings.n_stages,
        codebook_size=settings.codebook_size,
        seed=settings.seed,
    )
    encoder = Encoder.model_validate(kind.encoder | {"layers": settings.layers})
    return HiddenStateCodes(encoder, seconds, kind.frame_rate, quantiser, digests(encoder))


def load(settings: HiddenStateCodesMethod, path: str | Path) -> HiddenStateCodes:
    """Open a tokenizer that was saved; the file holds all settings.

    Raises
    ------
    InputError
        If the file is another one.
    """
    arrays, told = read_learned(path, FORMAT)
    return HiddenStateCodes(
        Encoder.model_validate(told["encoder"]),
        told["pooling_seconds"],
        told["frame_rate"],
        ProductQuantiser(**arrays),
        told["encoder_files"],
    )


def digests(encoder: Encoder) -> dict[str, str]:
    """SHA-256 of each file that a local encoder is read from."""
    return {name: sha256(path) for name, path in encoder.files().items()}


def flat(frames: np.ndarray) -> np.ndarray:
    """The layers' states side by side, float32 (n_frames, n_layers * size)."""
    return frames.reshape(len(frames), -1).astype(np.float32)


def pool(frames: np.ndarray, seconds: float, frame_rate: float) -> np.ndarray:
    """Mean and standard deviation over stretches of equal length, the last one being shorter.

    Parameters
    ----------
    frames
        float32 (n_frames, n_features).
    seconds
        Length of a stretch; 0 leaves frames as they are, infinity makes one stretch.

    Returns
    -------
    float32 (n_stretches, 2 * n_features), or the frames.
    """
    if seconds == 0:
        return frames
    length = len(frames) if np.isinf(seconds) else max(1, round(seconds * frame_rate))
    stretches = np.split(frames, range(length, len(frames), length))
    return np.stack([np.concatenate([each.mean(axis=0), each.std(axis=0)]) for each in stretches])
