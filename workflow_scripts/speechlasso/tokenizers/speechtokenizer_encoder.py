"""The encoder of SpeechTokenizer: convolutions, a bidirectional LSTM, one convolution more.

Zhang et al. 2024, SpeechTokenizer: Unified Speech Tokenizer for Speech Language Models; the layers
and their padding are those of EnCodec's SEANet, Défossez et al. 2022.

Every clip is computed as if it were alone: convolutions see one clip at a time, continued by its
own reflection, and the LSTM keeps clips apart. Clips may be of any length: convolutions run over
pieces that overlap as far as they see, the LSTM from piece to piece with its state.

All is computed by matrix products of rows (time) by columns (channels).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechlasso.tokenizers.speechtokenizer_checkpoint import Architecture, Weights
from speechlasso.tokenizers.speechtokenizer_lstm import BidirectionalLSTM, Each, Packing

FIRST_KERNEL = LAST_KERNEL = 7

# Frames that are convolved at a time: bounds the memory.
CONVOLUTION_FRAMES = 200


class Encoder(nn.Module):
    """From waveforms to the embeddings of frames.

    Attributes
    ----------
    hop
        Samples per frame.
    context
        Frames on each side that a frame depends on before the LSTM, or more.
    """

    def __init__(self, architecture: Architecture, weights: Weights):
        super().__init__()
        places = (f"encoder.model.{number}" for number in count())
        n_channels = architecture.n_filters * 2 ** len(architecture.strides)
        self.hop = math.prod(architecture.strides)
        self.front = _front(architecture, weights, places)
        self.context = math.ceil(sum(_reaches(self.front)) / self.hop)
        self.lstm = BidirectionalLSTM(
            weights, f"{next(places)}.lstm", n_channels, architecture.lstm_layers
        )
        activation = _activation(architecture, weights, next(places), 2 * n_channels)
        shape = (2 * n_channels, architecture.dimension, LAST_KERNEL)
        self.last = Convolution(*weights.convolution(next(places), *shape), activation=activation)

    def forward(self, waveforms: Sequence[Tensor], each: Each = map) -> tuple[Tensor, ...]:
        """Compute the embeddings of clips.

        Parameters
        ----------
        waveforms
            float32 (n_samples,) each, at least one sample; the longest first.
        each
            Computes independent parts.

        Returns
        -------
        For each clip float32 (n_frames, dimension), n_frames = ceil(n_samples / hop).
        """
        lengths = [math.ceil(len(waveform) / self.hop) for waveform in waveforms]
        packing = Packing(lengths, self.last.bias.device)

        def convolved(piece: Piece) -> Tensor:
            seen = slice(piece.seen.start * self.hop, piece.seen.stop * self.hop)
            samples = waveforms[piece.clip][seen].to(self.last.bias)
            return self.front(samples[:, None])[piece.kept]

        pieces = _pieces(lengths, self.context)
        rows = self.last.bias.new_empty(sum(lengths), self.lstm.n_channels)
        for piece, frames in zip(pieces, each(convolved, pieces), strict=True):
            rows[packing.rows[piece.clip][piece.frames]] = frames
        rows = self.lstm(rows, packing, each)

        def read_out(piece: Piece) -> Tensor:
            return self.last(rows[packing.rows[piece.clip][piece.seen]])[piece.kept]

        embeddings = list(each(read_out, _pieces(lengths, LAST_KERNEL // 2)))
        return torch.cat(embeddings).float().split(lengths)


class Piece(NamedTuple):
    """Frames of a clip that are computed together."""

    clip: int
    frames: slice
    seen: slice
    """`frames` and those around them that they depend on."""
    kept: slice
    """`frames` among `seen`."""


def _pieces(lengths: Sequence[int], context: int) -> list[Piece]:
    """Cut clips, given the number of their frames, into pieces that see so many frames around."""
    pieces = []
    for clip, n_frames in enumerate(lengths):
        for start in range(0, n_frames, CONVOLUTION_FRAMES):
            stop = min(start + CONVOLUTION_FRAMES, n_frames)
            first = max(start - context, 0)
            seen = slice(first, min(stop + context, n_frames))
            pieces.append(Piece(clip, slice(start, stop), seen, slice(start - first, stop - first)))
    return pieces


def _front(architecture: Architecture, weights: Weights, places: Iterator[str]) -> nn.Sequential:
    """The layers before the LSTM: stages that halve the rate, or more, and double the channels."""
    channels = architecture.n_filters
    layers: list[nn.Module] = [
        Convolution(*weights.convolution(next(places), 1, channels, FIRST_KERNEL))
    ]
    for stride in reversed(architecture.strides):  # config.json lists those of the decoder
        for number in range(architecture.n_residual_layers):
            dilation = architecture.dilation_base**number
            layers.append(ResidualBlock(architecture, weights, next(places), channels, dilation))
        activation = _activation(architecture, weights, next(places), channels)
        shape = (channels, 2 * channels, 2 * stride)
        weight, bias = weights.convolution(next(places), *shape)
        layers.append(Convolution(weight, bias, stride=stride, activation=activation))
        channels *= 2
    return nn.Sequential(*layers)


def _reaches(front: nn.Sequential) -> Iterator[int]:
    """How many samples each layer adds to those that a frame depends on."""
    samples_per_row = 1
    for layer in front:
        yield layer.reach * samples_per_row
        samples_per_row *= layer.stride


class Convolution(nn.Module):
    """A convolution over time of rows that are continued by reflection at both ends.

    It is computed as a sum of matrix products, one for each `stride` taps of the kernel: their
    inputs are plain views of the rows.

    Parameters
    ----------
    weight
        (n_out, n_in, kernel); the kernel is a multiple of the stride.
    bias
        (n_out,)
    activation
        Of the input; it may overwrite what it gets, and takes 0 to 0.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        stride: int = 1,
        dilation: int = 1,
        activation: nn.Module | None = None,
    ):
        super().__init__()
        n_out, n_in, kernel = weight.shape
        self.stride = stride
        self.dilation = dilation
        self.activation = activation or nn.Identity()
        self.reach = (kernel - 1) * dilation
        self.padding = self.reach - (stride - 1)
        taps = weight.permute(2, 1, 0).reshape(kernel // stride, stride * n_in, n_out)
        self.register_buffer("taps", taps.contiguous())
        self.register_buffer("bias", bias)

    def forward(self, rows: Tensor) -> Tensor:
        """(n_rows, n_in) to (ceil(n_rows / stride), n_out)."""
        n_rows = math.ceil(len(rows) / self.stride)
        right = self.padding // 2
        to_last_window = n_rows * self.stride - len(rows)
        rows = self.activation(_reflected(rows, self.padding - right, right + to_last_window))
        result = self.bias.repeat(n_rows, 1)
        for number, tap in enumerate(self.taps):
            start = number * self.stride * self.dilation
            result.addmm_(rows[start : start + n_rows * self.stride].view(n_rows, -1), tap)
        return result


class ResidualBlock(nn.Module):
    """A bottleneck of two convolutions beside a linear shortcut."""

    stride = 1

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        place: str,
        channels: int,
        dilation: int,
    ):
        super().__init__()
        half = channels // 2
        shape = (channels, half, architecture.residual_kernel_size)
        self.narrow = Convolution(
            *weights.convolution(f"{place}.block.1", *shape),
            dilation=dilation,
            activation=_activation(architecture, weights, f"{place}.block.0", channels),
        )
        self.activation = _activation(architecture, weights, f"{place}.block.2", half)
        widen, bias = weights.convolution(f"{place}.block.3", half, channels, 1)
        shortcut, shortcut_bias = weights.convolution(f"{place}.shortcut", channels, channels, 1)
        self.reach = self.narrow.reach
        self.register_buffer("widen", widen[:, :, 0].t().contiguous())
        self.register_buffer("shortcut", shortcut[:, :, 0].t().contiguous())
        self.register_buffer("bias", bias + shortcut_bias)

    def forward(self, rows: Tensor) -> Tensor:
        """(n_rows, channels) to the same."""
        inner = self.activation(self.narrow(rows))
        return torch.addmm(self.bias, rows, self.shortcut).addmm_(inner, self.widen)


class Snake(nn.Module):
    """x + sin(a x)^2 / a with an `a` for each channel; Ziyin, Hartwig and Ueda 2020."""

    def __init__(self, alpha: Tensor):
        super().__init__()
        self.register_buffer("alpha", alpha)

    def forward(self, rows: Tensor) -> Tensor:
        return rows + torch.sin(self.alpha * rows).square() / (self.alpha + 1e-9)


def _activation(
    architecture: Architecture, weights: Weights, place: str, channels: int
) -> nn.Module:
    if architecture.activation == "ELU":
        return nn.ELU(inplace=True)
    return Snake(weights.tensor(f"{place}.alpha", 1, channels, 1).flatten())


def _reflected(rows: Tensor, left: int, right: int) -> Tensor:
    """Continue rows by so many of their mirror image; a new tensor.

    Rows too few for that are followed by zeros first, of which as many are cut from the end again
    (the rule of EnCodec).
    """
    n_rows = len(rows)
    n_zeros = max(left, right) - n_rows + 1
    if n_zeros > 0:
        rows = torch.cat([rows, rows.new_zeros(n_zeros, rows.shape[1])])
    before = rows[1 : left + 1].flip(0)
    after = rows[len(rows) - 1 - right : len(rows) - 1].flip(0)
    return torch.cat([before, rows, after])[: left + n_rows + right]
