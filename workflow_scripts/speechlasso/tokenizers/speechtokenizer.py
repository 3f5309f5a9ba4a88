"""SpeechTokenizer: the codec of the published method, read from its authors' own files.

Encoder and residual vector quantiser in plain torch; Zhang et al. 2024, SpeechTokenizer: Unified
Speech Tokenizer for Speech Language Models. Its first layer is distilled towards HuBERT, the others
hold the rest of the sound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechlasso.errors import InputError
from speechlasso.features.waveforms import checked
from speechlasso.tokenizers.settings import SpeechTokenizerMethod
from speechlasso.tokenizers.speechtokenizer_checkpoint import (
    Architecture,
    Weights,
    read_architecture,
)
from speechlasso.tokenizers.speechtokenizer_encoder import Encoder
from speechlasso.tokenizers.speechtokenizer_lstm import Each
from speechlasso.training.devices import best_device

# Clips encoded together: enough to keep the LSTM busy, few enough to bound the memory.
BATCH_FRAMES = 16_384
BATCH_CLIPS = 128

# Frames quantised at a time.
QUANTISED_FRAMES = 4096


def load(settings: SpeechTokenizerMethod, path: str | Path | None = None) -> SpeechTokenizer:
    """Open the published tokenizer.

    Parameters
    ----------
    settings
        `checkpoint` and `config`, the two files; `n_layers`, the first so many layers, or all;
        `precision` of convolutions and LSTM, while the quantiser always computes in float32.
    path
        Not read: the tokenizer learns nothing that could have been saved.

    Raises
    ------
    InputError
        If a file cannot be read or the two do not fit, listing every difference; or if there are
        fewer layers than asked for.
    """
    architecture = read_architecture(settings.config)
    weights = Weights.read(settings.checkpoint)
    encoder = Encoder(architecture, weights)
    codebooks = _codebooks(architecture, weights)
    weights.check()
    n_layers = settings.n_layers or architecture.n_q
    if n_layers > architecture.n_q:
        raise InputError(
            f"tokenizer.n_layers: {n_layers} is more than the {architecture.n_q} layers of "
            f"{settings.checkpoint}; choose fewer, or null for all"
        )
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings.precision]
    device = best_device()
    return SpeechTokenizer(
        encoder.to(device, dtype),
        codebooks[:n_layers].to(device),
        architecture.sample_rate,
    )


def _codebooks(architecture: Architecture, weights: Weights) -> Tensor:
    """Of all layers, float32 (n_layers, codebook_size, dimension)."""
    shape = (architecture.codebook_size, architecture.dimension)
    names = (f"quantizer.vq.layers.{layer}._codebook.embed" for layer in range(architecture.n_q))
    return torch.stack([weights.tensor(name, *shape) for name in names])


class SpeechTokenizer:
    """Tokenizer with learned encoder and codebooks; made by `load`.

    Parameters
    ----------
    encoder
        From waveforms to embeddings.
    codebooks
        float32 (n_layers, codebook_size, dimension), where the encoder's weights are.
    sample_rate
        Of the waveforms that `encode` takes, in Hz.

    Its attributes are those of `AudioTokenizer`.
    """

    def __init__(self, encoder: Encoder, codebooks: Tensor, sample_rate: int):
        self.encoder = encoder
        self._codebooks = codebooks
        self.sample_rate = sample_rate
        self.frame_rate = sample_rate / encoder.hop
        self.n_layers, self.codebook_size, _ = codebooks.shape

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes, int16; see `AudioTokenizer.encode`.

        With several threads (`torch.set_num_threads`) the codes stay the same. Memory: beside the
        weights, about 0.5 GB, and for a clip longer than five minutes 1 MB for each of its seconds.
        """
        waveforms = [checked(waveform) for waveform in waveforms]
        codes: dict[int, np.ndarray] = {}
        with workers(self._codebooks.device) as each:
            n_frames = [math.ceil(len(waveform) / self.encoder.hop) for waveform in waveforms]
            for batch in batches_of_like_length(n_frames):
                clips = [torch.tensor(waveforms[clip]) for clip in batch]
                embeddings = self.encoder(clips, each)
                codes.update(zip(batch, each(self._quantise, embeddings), strict=True))
        return [codes[clip] for clip in range(len(waveforms))]

    def _quantise(self, embeddings: Tensor) -> np.ndarray:
        parts = embeddings.split(QUANTISED_FRAMES)
        codes = torch.cat([residual_codes(part, self._codebooks) for part in parts], dim=1)
        return codes.to(torch.int16).cpu().numpy()


def batches_of_like_length(n_frames: Sequence[int]) -> Iterator[list[int]]:
    """Indices of clips that are encoded together, the longest first: no more than `BATCH_CLIPS`,
    and no more frames than `BATCH_FRAMES` unless one clip has more."""
    batch: list[int] = []
    n_together = 0
    for clip in np.argsort(-np.asarray(n_frames), kind="stable"):
        full = n_together + n_frames[clip] > BATCH_FRAMES or len(batch) == BATCH_CLIPS
        if batch and full:
            yield batch
            batch, n_together = [], 0
        batch.append(clip)
        n_together += n_frames[clip]
    if batch:
        yield batch


def residual_codes(embeddings: Tensor, codebooks: Tensor) -> Tensor:
    """Residual vector quantisation: each layer codes what the layers before it left over.

    The nearest entry by Euclidean distance, the first of equally near ones. Distances are computed
    in the expanded form that the authors use, so that near ties fall as they do there.

    Parameters
    ----------
    embeddings
        float32 (n_frames, dimension)
    codebooks
        float32 (n_layers, codebook_size, dimension)

    Returns
    -------
    int64 (n_layers, n_frames)
    """
    residual = embeddings
    codes = []
    for entries in codebooks:
        products = (2 * residual) @ entries.t()
        squares = residual.square().sum(dim=1, keepdim=True)
        distances = squares - products + entries.square().sum(dim=1)
        nearest = distances.argmin(dim=1)
        residual = residual - entries[nearest]
        codes.append(nearest)
    return torch.stack(codes)


@contextmanager
def workers(device: torch.device) -> Iterator[Each]:
    """A `map` over as many threads as torch may use.

    Each computes with one thread of its own: threads that share every single operation wait for
    one another all the time, and for long if another program holds one of the cores.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or device.type != "cpu":
        yield map
        return
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(n_threads)  # for threads yet to start
