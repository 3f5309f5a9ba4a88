"""Short sounds to be played in a page: mono, compressed as browsers play it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from speechlasso.audio.reading import read_clip, segment_span

SAMPLE_RATE = 16_000
# About 24 kbit/s at a constant rate, 3 kB a second: clear speech, and the same bytes every time.
_COMPRESSION = 0.9


def as_mp3(samples: np.ndarray) -> bytes:
    """Samples at `SAMPLE_RATE`, (n_samples,), as an MP3 file."""
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(samples, -1, 1),
        SAMPLE_RATE,
        format="MP3",
        compression_level=_COMPRESSION,
        bitrate_mode="CONSTANT",
    )
    return file.getvalue()


def excerpt(clip: str | Path, start: float, end: float, around: float = 0.0) -> bytes:
    """A part of a clip as an MP3 file.

    Parameters
    ----------
    start, end
        Seconds from the clip's beginning.
    around
        Seconds before and after that are heard as well, as far as the clip goes.

    Raises
    ------
    ClipError
        If the clip cannot be decoded.
    """
    first, last = segment_span(clip)
    begin, stop = max(first, start - around), min(last, end + around)
    return as_mp3(read_clip(clip, SAMPLE_RATE, begin, stop))
