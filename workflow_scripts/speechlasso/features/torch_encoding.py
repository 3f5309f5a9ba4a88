"""Running a neural encoder over clips of any length.

Nothing is padded to the length of another clip: what an encoder pads would show in the codes. Only
sounds of exactly equal length are computed together, so a clip's frames do not depend on the other
clips; on a GPU, where the size of a batch decides the order in which numbers are added, they may
differ in the last bit. Long clips are cut into overlapping windows, all of one length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from speechlasso.features.waveforms import checked
from speechlasso.training.devices import autocast

Precision = Literal["fp32", "bf16"]

# Sound computed together. One by one on processors: there, batches are slower by a fifth.
BATCH_SECONDS = {"cuda": 120.0, "cpu": 0.0}


@dataclass(frozen=True)
class FrameEncoder:
    """A network from sound to frames, and how it is to be run.

    Attributes
    ----------
    network
        Computes float32 (n_sounds, n_samples), a tensor on `device`, to an array (n_sounds,
        n_frames, ...). A sound that is longer by `hop` samples has one frame more.
    prepare
        What the model's authors do to a whole clip first, float32 (n_samples,) to the same:
        normalisation, padding at the end.
    sample_rate
        Of the clips, in Hz.
    hop
        Samples from frame to frame.
    shortest
        Fewest samples that the network makes a frame of.
    window, context
        Longer clips are cut into windows, of which each frame is taken where it has at least
        `context` on both sides, or all that the clip has; in samples.
    precision
        fp32, or bf16 for mixed precision.
    device
        Where the network is.
    """

    network: Callable[[torch.Tensor], np.ndarray]
    prepare: Callable[[np.ndarray], np.ndarray]
    sample_rate: int
    hop: int
    shortest: int
    window: int
    context: int
    precision: Precision
    device: torch.device

    def encode(self, waveforms: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Compute the frames of clips.

        A clip shorter than `shortest` is followed by silence, so that every clip has a frame.

        Takes and refuses waveforms as `AudioTokenizer.encode` does.

        Returns
        -------
        One array (n_frames, ...) per clip, in the order of the clips.
        """
        clips = [list(self._windows(self.prepare(checked(waveform)))) for waveform in waveforms]
        computed = iter(self._compute([sound for clip in clips for sound, _ in clip]))
        return [np.concatenate([next(computed)[kept] for _, kept in clip]) for clip in clips]

    def _windows(self, samples: np.ndarray) -> Iterator[tuple[np.ndarray, slice]]:
        """Yield the windows of a clip, each with the frames that are taken from it."""
        samples = np.pad(samples, (0, max(0, self.shortest - len(samples))))
        # Each window ends as the clip does, off the grid of frames by `rest`: models choose by the
        # length what they pad, and thereby where frames lie.
        n_hops, rest = divmod(len(samples), self.hop)
        window = (self.window - rest) // self.hop
        for first, kept in overlapping_windows(n_hops, window, self.context // self.hop):
            last = min(first + window, n_hops)
            yield samples[first * self.hop : last * self.hop + rest], kept

    def _compute(self, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        frames = [np.empty(0)] * len(sounds)
        most_samples = int(BATCH_SECONDS[self.device.type] * self.sample_rate)
        with _computing(self.precision, self.device):
            for members in batches([len(sound) for sound in sounds], most_samples):
                stacked = np.stack([sounds[member] for member in members])
                results = self.network(torch.from_numpy(stacked).to(self.device))
                for member, result in zip(members, results, strict=True):
                    frames[member] = result
        return frames


def overlapping_windows(n_frames: int, window: int, context: int) -> Iterator[tuple[int, slice]]:
    """Cut a row of frames into windows that overlap.

    All windows are equally long, so that they can share a batch; therefore the last one, which
    ends where the row ends, overlaps more.

    Parameters
    ----------
    n_frames
        Length of the row.
    window
        Length of the windows, more than twice `context`.
    context
        Fewest frames between a frame that is taken and the edge of its window, unless the row
        ends there.

    Yields
    ------
    first
        Where the window begins.
    kept
        The frames to take from it. Joined, they are all the row's frames, and whatever follows the
        last one.
    """
    if n_frames <= window:
        yield 0, slice(0, None)
        return
    last = n_frames - window
    firsts = [*range(0, last, window - 2 * context), last]
    bounds = [0, *(first + context for first in firsts[1:]), None]
    for first, start, stop in zip(firsts, bounds, bounds[1:], strict=False):
        yield first, slice(start - first, stop if stop is None else stop - first)


def batches(lengths: Sequence[int], most_samples: int) -> Iterator[list[int]]:
    """Yield the indices of sounds of equal length, together at most `most_samples` or just one."""
    by_length = defaultdict(list)
    for index, length in enumerate(lengths):
        by_length[length].append(index)
    for length, members in by_length.items():
        size = max(1, most_samples // length)
        for start in range(0, len(members), size):
            yield members[start : start + size]


@contextmanager
def _computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """No gradients, and float32 in full: by default cuDNN rounds what it convolves to TF32."""
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact, autocast(precision, device):
        yield
