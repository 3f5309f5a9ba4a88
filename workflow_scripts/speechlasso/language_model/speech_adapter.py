"""From the layers of a speech encoder to vectors that a language model reads as embeddings.

Source: SpeechVerse (arXiv 2405.08295), section 3.1: a learned weighted sum of the encoder's layers,
then 1-D convolutions that shorten the sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from speechlasso.training.devices import best_device
from speechlasso.training.processes import save_tensors

ADAPTER = "adapter.safetensors"
"""The file of an adapter in its model's folder."""
SMALLEST_SPREAD = 1e-3
"""Of a feature, as half precision has them; one that is constant stays near zero."""


class SpeechAdapter(nn.Module):
    """Layers summed with softmax weights, then convolutions, then a norm.

    Features are standardised first: one layer's numbers are many times as large as another's, and
    the weights would have to make up for it.

    Parameters
    ----------
    n_layers, n_features
        Of the encoder's frames.
    size
        Of the vectors.
    reduction
        Frames that become one vector. Its prime factors are the strides of the convolutions, each
        over two strides less one.
    """

    def __init__(self, n_layers: int, n_features: int, size: int, reduction: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.register_buffer("mean", torch.zeros(n_layers, n_features))
        self.register_buffer("spread", torch.ones(n_layers, n_features))
        self.layer_scores = nn.Parameter(torch.zeros(n_layers))
        strides = prime_factors(reduction)
        sizes = [n_features, *[size] * len(strides)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 2 * stride - 1, stride, padding=stride - 1)
            for (before, after), stride in zip(pairwise(sizes), strides, strict=True)
        )
        self.norm = nn.LayerNorm(size)

    @property
    def layer_weights(self) -> torch.Tensor:
        """Of the layers' sum, (n_layers,)."""
        return self.layer_scores.softmax(dim=0)

    def start(self, mean: np.ndarray, spread: np.ndarray, vector_spread: float) -> None:
        """Set what is not learned by gradient.

        Parameters
        ----------
        mean, spread
            Of the features, (n_layers, n_features); see `standardisation`.
        vector_spread
            Of the vectors' numbers at the start: that of the model's own embeddings.
        """
        self.mean.copy_(torch.from_numpy(mean))
        self.spread.copy_(torch.from_numpy(spread))
        nn.init.constant_(self.norm.weight, vector_spread)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The vectors of some utterances, (n, longest, size).

        Those of an utterance are its first ceil(length / reduction), whatever stands after its
        frames.

        Parameters
        ----------
        frames
            (n, longest, n_layers, n_features).
        lengths
            Frames of each utterance, int64 (n,).
        """
        standard = (frames.float() - self.mean) / self.spread
        found = torch.einsum("ntlf,l->nft", standard, self.layer_weights)
        for number, convolution in enumerate(self.convolutions):
            if number:
                found = F.gelu(found)
            is_padding = torch.arange(found.shape[2], device=found.device) >= lengths[:, None]
            found = convolution(found.masked_fill(is_padding[:, None], 0.0))
            (stride,) = convolution.stride
            lengths = -(-lengths // stride)
        return self.norm(found.transpose(1, 2))

    @classmethod
    def open(cls, folder: Path, reduction: int) -> SpeechAdapter:
        """What `save` wrote, ready to predict."""
        state = load_file(folder / ADAPTER)
        adapter = cls(*state["mean"].shape, len(state["norm.weight"]), reduction)
        adapter.load_state_dict(state)
        return adapter.to(best_device()).eval()

    def save(self, folder: Path) -> None:
        save_tensors(self.state_dict(), folder / ADAPTER)


def prime_factors(number: int) -> list[int]:
    """Ascending; [1] for 1."""
    factors, factor = [], 2
    while number > 1:
        if number % factor:
            factor += 1
        else:
            factors.append(factor)
            number //= factor
    return factors or [1]


def standardisation(frames: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature over all frames, (n_layers, n_features) each.

    Parameters
    ----------
    frames
        (n_frames, n_layers, n_features) of each utterance.
    """
    n, total, squares = 0, 0.0, 0.0
    for of_clip in frames:
        exact = of_clip.astype(np.float64)
        n += len(exact)
        total = total + exact.sum(axis=0)
        squares = squares + np.square(exact).sum(axis=0)
    mean = total / n
    variance = np.maximum(squares / n - np.square(mean), SMALLEST_SPREAD**2)
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
