"""Reading audio clips: decode, mix down to mono, resample, join."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechlasso.errors import InputError

BLOCK_FRAMES = 1 << 16  # a check decodes block by block, so its memory does not grow with the clip
# Sizes that a recorder leaves in a WAV header when it cannot go back and fill in the real one.
UNKNOWN_WAV_SIZES = (0, 0xFFFFFFFF)


def read_clip(path: str | Path, sample_rate: int) -> np.ndarray:
    """Decode a clip, average its channels and resample it.

    Parameters
    ----------
    path
        Any format that libsndfile decodes (WAV, FLAC, OGG, MP3, ...).
    sample_rate
        Rate of the result, in Hz.

    Returns
    -------
    float32 array (n_samples,), full scale at -1 and 1.

    Raises
    ------
    InputError
        If the clip cannot be decoded; `clip_problem` finds further defects.
    """
    try:
        channels, recorded_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        problem = clip_problem(path) or f"cannot be decoded ({_reason(error)})"
        raise InputError(f"{path}: {problem}. Mend or replace the clip.") from error
    mono = channels.mean(axis=1)
    if recorded_rate == sample_rate:
        return mono
    return soxr.resample(mono, recorded_rate, sample_rate, quality="HQ")


def read_utterance(paths: Sequence[str | Path], sample_rate: int) -> np.ndarray:
    """Read the clips of one utterance and join them in order.

    Each clip is resampled by itself, so clips recorded at different rates can be joined.

    Parameters
    ----------
    paths
        One or more clips, in the order in which they were spoken.
    sample_rate
        Rate of the result, in Hz.

    Returns
    -------
    float32 array (n_samples,).

    Raises
    ------
    InputError
        If there is no clip, or one cannot be decoded.
    """
    if not paths:
        raise InputError("An utterance needs at least one audio clip, but it lists none.")
    return np.concatenate([read_clip(path, sample_rate) for path in paths])


def clip_problem(path: str | Path) -> str | None:
    """Say what is wrong with a clip, or None if it can be used.

    The whole clip is decoded, in blocks, since a header says nothing about the samples behind it.

    Parameters
    ----------
    path
        The clip.

    Returns
    -------
    A short reason that completes the sentence "the clip ...", or None.
    """
    path = Path(path)
    if not path.exists():
        return "does not exist"
    if not path.is_file():
        return "is not a file"
    if path.stat().st_size == 0:
        return "is an empty file"
    try:
        with soundfile.SoundFile(path) as clip:
            return _wav_truncation(path, clip.format) or _sample_problem(clip)
    except (soundfile.SoundFileError, OSError) as error:
        return f"cannot be decoded ({_reason(error)})"


def _reason(error: Exception) -> str:
    """The decoder's own words, without its repetition of the path."""
    text = getattr(error, "error_string", None) or str(error)
    return text.removeprefix("Error :").strip().rstrip(".")


def _sample_problem(clip: soundfile.SoundFile) -> str | None:
    """Decode everything: too few samples, none, or samples that are no numbers."""
    n_decoded = 0
    while len(block := clip.read(BLOCK_FRAMES, dtype="float32")):
        if not np.isfinite(block).all():
            return "contains samples that are not finite numbers"
        n_decoded += len(block)
    if n_decoded < clip.frames:
        return _truncated(clip.frames, n_decoded, "frames")
    if n_decoded == 0:
        return "contains no samples"
    return None


def _wav_truncation(path: Path, container: str) -> str | None:
    """Compare what a WAV header promises with what the file holds.

    The decoder silently shortens such a clip to what is there, so the header is read here.
    """
    if container not in ("WAV", "WAVEX"):
        return None
    file_size = path.stat().st_size
    with path.open("rb") as file:
        byte_order = ">" if file.read(12).startswith(b"RIFX") else "<"
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack(f"{byte_order}4sI", header)
            start = file.tell()
            if name == b"data":
                n_held = file_size - start
                known = size not in UNKNOWN_WAV_SIZES
                return _truncated(size, n_held, "bytes") if known and n_held < size else None
            file.seek(start + size + size % 2)  # chunks are padded to an even length
    return None


def _truncated(n_promised: int, n_held: int, unit: str) -> str:
    return f"is truncated (its header promises {n_promised} {unit} of sound, it holds {n_held})"
