"""Checking clips before they are used: whatever would go wrong or be lost later, in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechlasso.audio.clip_files import ClipError
from speechlasso.audio.clip_headers import header_problem, mp3_problem, truncated
from speechlasso.audio.reading import UNKNOWN_LENGTH, Clip, open_clip

# Full scale is 1; recordings in floating point exceed it a little, integers stored as floats a lot.
LARGEST_SAMPLE = 100
# Share of the energy that must be left when the channels are averaged.
SMALLEST_MONO_SHARE = 1e-3


def check_clip(path: str | Path) -> float:
    """See that a clip can be used.

    The whole clip is decoded, in blocks, since a header says nothing about the samples behind it.

    Parameters
    ----------
    path
        The clip.

    Returns
    -------
    Its length in seconds.

    Raises
    ------
    ClipError
        If it cannot be decoded to its end, or is not fit for use: samples that are not finite or
        far above full scale, channels that cancel each other.
    """
    if problem := header_problem(path):
        raise ClipError(path, problem)
    with open_clip(path) as clip:
        n_decoded = _check_samples(path, clip)
        if problem := _length_problem(path, clip, n_decoded):
            raise ClipError(path, problem)
        return n_decoded / clip.samplerate


def _check_samples(path: str | Path, clip: Clip) -> int:
    """Decode everything; the number of frames."""
    n_decoded, energy, mono_energy = 0, 0.0, 0.0
    for block in clip.blocks(clip.frames):
        peak = np.abs(block).max()
        if not np.isfinite(peak):
            raise ClipError(path, "contains samples that are not finite numbers")
        if peak > LARGEST_SAMPLE:
            raise ClipError(
                path,
                f"contains samples of {peak:g} times full scale (integers stored as floats?); "
                "divide them by their full scale",
            )
        n_decoded += len(block)
        energy += _energy(block) / clip.channels
        mono_energy += _energy(block.mean(axis=1))
    if mono_energy < SMALLEST_MONO_SHARE * energy:
        raise ClipError(
            path,
            "is silent when its channels are averaged, since they cancel each other (opposite "
            "phase); invert one of them or keep a single one",
        )
    return n_decoded


def _length_problem(path: str | Path, clip: Clip, n_decoded: int) -> str | None:
    if clip.format == "MP3":
        return mp3_problem(path, clip.frames, n_decoded)
    if n_decoded < clip.frames != UNKNOWN_LENGTH:
        return truncated(clip.frames, n_decoded, "frames")
    return None if n_decoded else "contains no samples"


def _energy(samples: np.ndarray) -> float:
    return float(np.vdot(samples, samples))
