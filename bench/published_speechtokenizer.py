"""SpeechTokenizer as published, full size: what tokenize_audio.py measures the project's against.

Written for one clip at a time, with random weights and their names in the published checkpoint.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

SAMPLE_RATE = 16_000
CONFIG = {
    "n_filters": 64,
    "strides": [8, 5, 4, 2],
    "dimension": 1024,
    "semantic_dimension": 768,
    "bidirectional": True,
    "dilation_base": 2,
    "residual_kernel_size": 3,
    "n_residual_layers": 1,
    "lstm_layers": 2,
    "activation": "ELU",
    "codebook_size": 1024,
    "n_q": 8,
    "sample_rate": SAMPLE_RATE,
}


class PaddedConvolution(nn.Module):
    """A convolution padded by reflection, its weight norm applied at every call."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel - stride
        self.convolution = weight_norm(nn.Conv1d(n_in, n_out, kernel, stride))

    def forward(self, sound: Tensor) -> Tensor:
        length = sound.shape[-1]
        extra = math.ceil(length / self.stride) * self.stride - length
        right = self.padding // 2
        padding = self.padding - right, right + extra
        return self.convolution(functional.pad(sound, padding, mode="reflect"))


class ResidualBlock(nn.Module):
    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.shortcut = PaddedConvolution(n_channels, n_channels, 1)
        self.narrow = PaddedConvolution(n_channels, n_channels // 2, 3)
        self.widen = PaddedConvolution(n_channels // 2, n_channels, 1)

    def forward(self, sound: Tensor) -> Tensor:
        inner = self.narrow(functional.elu(sound))
        return self.shortcut(sound) + self.widen(functional.elu(inner))


class PublishedEncoder(nn.Module):
    """SpeechTokenizer's encoder and quantiser, module by module, for one clip at a time."""

    def __init__(self) -> None:
        super().__init__()
        n_channels = CONFIG["n_filters"]
        # Positions are those in the checkpoint; an activation takes one as well.
        self.parts = nn.ModuleDict({"0": PaddedConvolution(1, n_channels, 7)})
        for stage, stride in enumerate(reversed(CONFIG["strides"])):
            self.parts[str(3 * stage + 1)] = ResidualBlock(n_channels)
            down = PaddedConvolution(n_channels, 2 * n_channels, 2 * stride, stride)
            self.parts[str(3 * stage + 3)] = down
            n_channels *= 2
        self.parts["13"] = nn.LSTM(
            n_channels, n_channels, CONFIG["lstm_layers"], bidirectional=True
        )
        self.parts["15"] = PaddedConvolution(2 * n_channels, CONFIG["dimension"], 7)
        self.codebooks: list[Tensor] = []

    def embed(self, waveform: np.ndarray) -> Tensor:
        """Frames of a clip, (n_frames, dimension)."""
        sound = self.parts["0"](torch.from_numpy(waveform)[None, None])
        for position in (1, 4, 7, 10):
            sound = self.parts[str(position)](sound)
            sound = self.parts[str(position + 2)](functional.elu(sound))
        frames = sound.permute(2, 0, 1)
        frames = self.parts["13"](frames)[0] + frames.repeat(1, 1, 2)
        return self.parts["15"](functional.elu(frames.permute(1, 2, 0)))[0].T

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        residual, codes = self.embed(waveform), []
        for codebook in self.codebooks:
            codes.append(nearest(residual, codebook))
            residual = residual - functional.embedding(codes[-1], codebook)
        return torch.stack(codes).numpy()

    def checkpoint(self) -> dict[str, Tensor]:
        """The weights under their published names."""
        names = {"shortcut": "shortcut", "narrow": "block.1", "widen": "block.3"}
        tensors = {}
        for name, value in self.parts.state_dict().items():
            position, *rest, last = name.replace("parametrizations.weight.original", "w").split(".")
            place = f"encoder.model.{position}"
            if position == "13":
                tensors[f"{place}.lstm.{last}"] = value
                continue
            block = f".{names[rest[0]]}" if rest[0] in names else ""
            kind = {"w0": "weight_g", "w1": "weight_v", "bias": "bias"}[last]
            tensors[f"{place}{block}.conv.conv.{kind}"] = value
        for layer, codebook in enumerate(self.codebooks):
            place = f"quantizer.vq.layers.{layer}._codebook"
            tensors[f"{place}.embed"] = codebook
            tensors[f"{place}.embed_avg"] = codebook.clone()
            tensors[f"{place}.inited"] = torch.ones(1)
            tensors[f"{place}.cluster_size"] = torch.ones(len(codebook))
        return tensors


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    distances = vectors.square().sum(1, keepdim=True) - 2 * vectors @ codebook.T
    return (distances + codebook.square().sum(1)).argmin(1)


def lively_encoder(sounds: list[np.ndarray]) -> PublishedEncoder:
    """Random weights under which frames differ; codebooks drawn like what is left to quantise."""
    torch.manual_seed(3)
    encoder = PublishedEncoder()
    for name, weight in encoder.parts.named_parameters():
        if name.endswith("original0"):
            gain = 8 if name.startswith("0.") else 1.1 if "shortcut" in name else 1
            weight.copy_(gain * (0.8 + 0.4 * torch.rand(weight.shape)))
        elif ".weight_" in name:
            weight.copy_(1.5 * torch.randn(weight.shape) / weight.shape[1] ** 0.5)
        elif "bias" in name:
            weight.copy_(0.1 * torch.randn(weight.shape))
    residual = torch.cat([encoder.embed(sound) for sound in sounds])
    for _ in range(CONFIG["n_q"]):
        shape = CONFIG["codebook_size"], CONFIG["dimension"]
        codebook = residual.mean(0) + 0.5 * residual.std(0) * torch.randn(shape)
        encoder.codebooks.append(codebook)
        residual = residual - codebook[nearest(residual, codebook)]
    return encoder
