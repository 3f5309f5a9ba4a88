"""Codes of a pretrained encoder's hidden states, learned on the training clips.

Sources: units of hidden states (HuBERT, Hsu et al. 2021, section II-B), product quantisation (see
`product_quantiser`). Frames come from the stage `encode_audio`, which runs the encoder once for a
corpus; for new recordings the tokenizer runs it by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from speechlasso.errors import InputError
from speechlasso.features.frame_files import FrameKind
from speechlasso.features.settings import Encoder
from speechlasso.files import written_whole
from speechlasso.tokenizers.frame_sampling import sample_frames
from speechlasso.tokenizers.product_quantiser import ProductQuantiser, fit_product_quantiser
from speechlasso.tokenizers.settings import HiddenStateCodesMethod

FORMAT = "speechlasso hidden_state_codes 1"  # raise it when codes or files change their meaning
SAMPLE_RATE = 16_000  # Hz, of all these encoders
ARRAYS = [field.name for field in fields(ProductQuantiser)]


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
    """

    encoder: Encoder
    pooling_seconds: float
    encoder_frame_rate: float
    quantiser: ProductQuantiser

    sample_rate = SAMPLE_RATE

    @property
    def n_layers(self) -> int:
        return self.quantiser.n_layers

    @property
    def codebook_size(self) -> int:
        return self.quantiser.codebook_size

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
        states = (frames.astype(np.float16) for frames in self._states.encoder.encode(waveforms))
        return [self.encode_frames(frames) for frames in states]

    @cached_property
    def _states(self):
        from speechlasso.features.hidden_states import load_hidden_states

        return load_hidden_states(
            self.encoder.model,
            self.encoder.revision,
            self.encoder.layers,
            self.encoder.precision,
            section="encoder",
            own_length=self.encoder.padding == "none",
        )

    def save(self, path: str | Path) -> None:
        """One safetensors file; the encoder is only named."""
        told = {
            "format": FORMAT,
            "encoder": self.encoder.model_dump(mode="json"),
            "pooling_seconds": self.pooling_seconds,
            "frame_rate": self.encoder_frame_rate,
        }
        metadata = {"settings": json.dumps(told)}
        with written_whole(path) as temporary:
            save_file(self.quantiser.arrays(), temporary, metadata=metadata)


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
    return HiddenStateCodes(encoder, seconds, kind.frame_rate, quantiser)


def load(settings: HiddenStateCodesMethod, path: str | Path) -> HiddenStateCodes:
    """Open a tokenizer that was saved; the file holds all settings.

    Raises
    ------
    InputError
        If the file is another one.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads((file.metadata() or {}).get("settings", "{}"))
            if told.get("format") != FORMAT:
                raise InputError(
                    f"{path}: expected a tokenizer of format {FORMAT!r}, found "
                    f"{told.get('format')!r}. Fit the tokenizer again."
                )
            quantiser = ProductQuantiser(**{name: file.get_tensor(name) for name in ARRAYS})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a safetensors file ({error}).") from error
    encoder = Encoder.model_validate(told["encoder"])
    return HiddenStateCodes(encoder, told["pooling_seconds"], told["frame_rate"], quantiser)


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
