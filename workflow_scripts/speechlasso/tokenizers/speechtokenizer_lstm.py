"""Bidirectional LSTMs over many clips of any length at once, each clip as if it were alone.

One clip alone is slow work: one product of a matrix by a vector after the other. Here every step
takes all clips that have a frame left. They are not padded: a clip's last frame starts its way
backwards, whatever the length of the others.

Products have shapes for which the usual libraries add in the same order however many clips there
are. So a clip's result does not depend on the others even in the last bit, given a multiple of 32
channels, as the published model has: what is left over torch computes by other functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from speechlasso.tokenizers.speechtokenizer_checkpoint import Weights

# Rows that are stepped through at a time: bounds the memory.
LSTM_ROWS = 2048

# MKL adds in one order from so many rows or columns on, in other orders below: from 16 rows and 2
# columns on with some processors, from 4 and 12 with others.
_FEWEST_ROWS = _FEWEST_COLUMNS = 16

Each = Callable[..., Iterator]
"""The built-in `map`, or one that computes in several threads."""


class Packing:
    """Where the frames of clips lie among rows: as in torch's PackedSequence.

    The first frame of every clip, then the second frame of every clip that has one, and so on.

    Parameters
    ----------
    lengths
        Frames of each clip, the longest first.

    Attributes
    ----------
    n_clips
        For each step, how many clips have a frame: the first so many.
    rows
        For each clip the rows of its frames, int64 (n_frames,).
    onwards, backwards
        Rows in the order of steps from the clips' beginnings and from their ends, int64 (n_rows,).
    """

    def __init__(self, lengths: Sequence[int], device: torch.device):
        steps = torch.arange(lengths[0])
        n_clips = len(lengths) - torch.searchsorted(
            torch.tensor(lengths).flip(0), steps, right=True
        )
        firsts = n_clips.cumsum(0) - n_clips
        self.n_clips = n_clips.tolist()
        self.rows = [(firsts[:length] + clip).to(device) for clip, length in enumerate(lengths)]
        self.onwards = torch.arange(sum(lengths), device=device)
        self.backwards = torch.empty_like(self.onwards)
        for rows in self.rows:
            self.backwards[rows] = rows.flip(0)

    def parts(self, n_rows: int) -> Iterator[tuple[slice, list[int]]]:
        """Yield stretches of about so many rows, each with `n_clips` of its steps."""
        row = step = 0
        while step < len(self.n_clips):
            n_steps = max(1, n_rows // self.n_clips[step])
            n_clips = self.n_clips[step : step + n_steps]
            yield slice(row, row + sum(n_clips)), n_clips
            row += sum(n_clips)
            step += n_steps


class BidirectionalLSTM(nn.Module):
    """Layers of LSTMs in both directions, beside a connection that skips them all."""

    def __init__(self, weights: Weights, place: str, n_channels: int, n_layers: int):
        super().__init__()
        self.n_channels = n_channels
        self.layers = nn.ModuleList()
        for number in range(n_layers):
            n_in = n_channels if number == 0 else 2 * n_channels
            suffixes = (f"_l{number}", f"_l{number}_reverse")
            directions = [LSTM(weights, place, suffix, n_in, n_channels) for suffix in suffixes]
            self.layers.append(nn.ModuleList(directions))

    def forward(self, rows: Tensor, packing: Packing, each: Each) -> Tensor:
        """(n_rows, n_channels) to (n_rows, 2 * n_channels)."""
        hidden = rows
        for directions in self.layers:
            hidden = self._layer(directions, hidden, packing, each)
        hidden.unflatten(1, (2, self.n_channels)).add_(rows[:, None])
        return hidden

    def _layer(
        self, directions: nn.ModuleList, rows: Tensor, packing: Packing, each: Each
    ) -> Tensor:
        def step_through(direction: LSTM, order: Tensor, half: Tensor) -> None:
            direction(rows, packing, order, half)

        result = rows.new_empty(len(rows), 2 * self.n_channels)
        orders = packing.onwards, packing.backwards
        list(each(step_through, directions, orders, result.split(self.n_channels, dim=1)))
        return result


class LSTM(nn.Module):
    """One layer of an LSTM in one direction; Hochreiter and Schmidhuber 1997, as torch has it.

    The state of a clip is a column, so that each step is the product of a matrix by few columns:
    twice as fast as by few rows.
    """

    def __init__(self, weights: Weights, place: str, suffix: str, n_in: int, n_channels: int):
        super().__init__()

        def weight(name: str, *shape: int) -> Tensor:
            return weights.tensor(f"{place}.{name}{suffix}", 4 * n_channels, *shape)

        self.register_buffer("input_weight", weight("weight_ih", n_in))
        self.register_buffer("hidden_weight", weight("weight_hh", n_channels))
        self.register_buffer("bias", weight("bias_ih") + weight("bias_hh"))

    def forward(self, rows: Tensor, packing: Packing, order: Tensor, result: Tensor) -> None:
        """Fill `result` (n_rows, n_channels) from `rows` (n_rows, n_in), stepping in `order`."""
        hidden = rows.new_zeros(result.shape[1], packing.n_clips[0])
        cell = hidden.float()
        for part, n_clips in packing.parts(LSTM_ROWS):
            inputs = _linear(rows[order[part]], self.input_weight, self.bias).split(n_clips)
            states = []
            for n, step_inputs in zip(n_clips, inputs, strict=True):
                gates = _product(self.hidden_weight, hidden[:, :n]).add_(step_inputs.t())
                hidden, cell = _gated(gates.float(), cell[:, :n])
                hidden = hidden.to(rows.dtype)
                states.append(hidden.t())
            result[order[part]] = torch.cat(states)


def _gated(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden state and cell from gates before their non-linearities, which are overwritten."""
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
    cell = forget_gate.sigmoid_().mul_(cell).addcmul_(input_gate.sigmoid_(), candidate.tanh_())
    return output_gate.sigmoid_() * cell.tanh(), cell


def _linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    lacking = max(0, _FEWEST_ROWS - len(rows))
    return functional.linear(functional.pad(rows, (0, 0, 0, lacking)), weight, bias)[: len(rows)]


def _product(weight: Tensor, columns: Tensor) -> Tensor:
    n_columns = columns.shape[1]
    lacking = max(0, _FEWEST_COLUMNS - n_columns)
    return (weight @ functional.pad(columns, (0, lacking)))[:, :n_columns].contiguous()
