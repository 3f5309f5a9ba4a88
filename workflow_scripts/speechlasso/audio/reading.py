"""Reading audio clips: decode, cut, mix down to mono, resample, join."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechlasso.audio.clip_files import (
    CONVERT,
    HEAD_BYTES,
    ClipError,
    foreign_content,
    open_file,
    zeros_before_mp3,
)
from speechlasso.audio.segments import is_open, segment_problem
from speechlasso.errors import InputError

SAMPLE_RATES = range(2_000, 1_000_001)
BLOCK_SAMPLES = 1 << 17
UNKNOWN_LENGTH = (1 << 63) - 1
MP3_LEAD_IN = 1  # seconds


def read_clip(
    path: str | Path, sample_rate: int, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Decode a clip or a segment of it, average its channels and resample it.

    A segment is resampled as if it were a file of its own: nothing outside it has any influence.

    Parameters
    ----------
    path
        Any format that libsndfile decodes (WAV, FLAC, OGG, MP3, ...), whatever the name.
    sample_rate
        Rate of the result, in Hz.
    start, end
        Where the segment lies in the clip, in seconds, each rounded to the nearest sample; None or
        NaN stands for the clip's own start or end.

    Returns
    -------
    float32 array (n_samples,) of at least one sample, full scale at -1 and 1.

    Raises
    ------
    ClipError
        If the clip cannot be decoded or the segment does not lie in it; `clip_check` finds further
        defects.
    """
    with open_clip(path) as clip:
        first, stop = _frames(path, clip, start, end)
        clip.go_to(first)
        blocks = [block.mean(axis=1) for block in clip.blocks(stop - first)]
    if not blocks:
        raise ClipError(path, "contains no samples")
    mono = np.concatenate(blocks)
    if clip.samplerate == sample_rate:
        return mono
    resampled = soxr.resample(mono, clip.samplerate, sample_rate, quality="HQ")
    # Less than half a sample at the lower rate is rounded to none.
    return resampled if len(resampled) else mono[:1]


def read_utterance(
    paths: Sequence[str | Path],
    sample_rate: int,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Read the clips of one utterance and join them in order.

    Each clip is resampled by itself, so clips recorded at different rates can be joined.

    Parameters
    ----------
    paths
        One or more clips, in the order in which they were spoken.
    sample_rate
        Rate of the result, in Hz.
    start, end
        As `read_clip` takes them, where the utterance is a segment of a single clip.

    Returns
    -------
    float32 array (n_samples,).

    Raises
    ------
    InputError
        If there is no clip, one cannot be decoded, or a segment is asked of several.
    """
    if len(paths) == 0:
        raise InputError("An utterance needs at least one audio clip, but it lists none.")
    if len(paths) == 1:
        return read_clip(paths[0], sample_rate, start, end)
    if not (is_open(start) and is_open(end)):
        raise InputError(f"{paths[0]}: a segment lies in one clip, but the row has {len(paths)}.")
    return np.concatenate([read_clip(path, sample_rate) for path in paths])


class Clip(soundfile.SoundFile):
    """An open clip, decoded forwards in blocks, so that memory does not grow with its length."""

    def seekable(self) -> bool:
        """Never, so that soundfile leaves the place alone. It would jump to where it already is
        after each read: an MP3 decoder loses samples by that, and a FLAC of unknown length fails.
        """
        return False

    def blocks(self, n_frames: int) -> Iterator[np.ndarray]:
        """The next frames or what is left of them, float32 (n_frames, n_channels) at a time."""
        most = max(1, BLOCK_SAMPLES // self.channels)
        while n_frames > 0:
            block = self.read(min(n_frames, most), dtype="float32", always_2d=True)
            if len(block) == 0:
                return
            yield block
            n_frames -= len(block)

    def go_to(self, frame: int) -> None:
        """Move on to a frame, so that the next ones are those that decoding everything gives.

        MP3 gives them up to rounding (2e-7).
        """
        entry = self._entry(frame)
        if entry > 0:
            self.seek(entry)
        for _ in self.blocks(frame - entry):
            pass

    def _entry(self, frame: int) -> int:
        """Where to jump in order to decode from there on, without loss."""
        if self.subtype.startswith("MPEG"):
            # Frames draw on up to half a second of what stands before them.
            return max(0, frame - MP3_LEAD_IN * self.samplerate)
        # libsndfile misses the place in some Vorbis files by thousands of samples.
        jumps_well = super().seekable() and self.subtype != "VORBIS"
        return frame if jumps_well else 0


@contextmanager
def open_clip(path: str | Path) -> Iterator[Clip]:
    """Open a clip to decode it.

    Raises
    ------
    ClipError
        If it cannot be opened, or decoding fails inside the block.
    """
    # By its descriptor: by name, libsndfile would take any bytes called .gsm or .vox for sound.
    with open_file(path) as file:
        try:
            # By its descriptor libsndfile does not look for the sound of an MP3 behind zero bytes.
            os.lseek(file.fileno(), zeros_before_mp3(file), os.SEEK_SET)
            clip = Clip(file.fileno(), closefd=False)
        except soundfile.SoundFileError as error:
            file.seek(0)
            content = foreign_content(file.read(HEAD_BYTES))
            reason = content or f"cannot be decoded ({_words(error)}); {CONVERT}"
            raise ClipError(path, reason) from error
        with clip:
            if clip.samplerate not in SAMPLE_RATES:
                raise ClipError(path, f"has an impossible sample rate ({clip.samplerate} Hz)")
            try:
                yield clip
            except soundfile.SoundFileError as error:
                reason = f"is truncated or damaged (decoding stops: {_words(error)})"
                raise ClipError(path, reason) from error


def segment_span(
    path: str | Path, start: float | None = None, end: float | None = None
) -> tuple[float, float]:
    """Where a segment begins and ends in its clip, in seconds, open ends filled in."""
    with open_clip(path) as clip:
        first, stop = _frames(path, clip, start, end)
        if stop == UNKNOWN_LENGTH:
            stop = sum(len(block) for block in clip.blocks(stop))
        return first / clip.samplerate, stop / clip.samplerate


def _frames(
    path: str | Path, clip: Clip, start: float | None, end: float | None
) -> tuple[int, int]:
    """First frame of a segment, and the one after its last."""
    if is_open(start) and is_open(end):
        return 0, clip.frames
    if problem := segment_problem(start, end, clip.frames / clip.samplerate):
        raise ClipError(path, f"the segment {problem}")
    first = 0 if is_open(start) else round(start * clip.samplerate)
    stop = clip.frames if is_open(end) else round(end * clip.samplerate)
    return first, min(stop, clip.frames)


def _words(error: soundfile.SoundFileError) -> str:
    """The decoder's own words, without its repetition of the path."""
    text = getattr(error, "error_string", None) or str(error)
    return text.removeprefix("Error :").strip().rstrip(".")
