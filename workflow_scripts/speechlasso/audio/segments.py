"""Segments: utterances that are parts of a recording."""

from __future__ import annotations

import math

# Tables round: a segment may end so many seconds after its clip.
END_TOLERANCE = 0.01
SHORTEST_SEGMENT = 0.001


def is_open(seconds: float | None) -> bool:
    """Whether a segment goes to its clip's own start or end: None or NaN."""
    return seconds is None or math.isnan(seconds)


def segment_problem(
    start: float | None, end: float | None, clip_seconds: float = math.inf
) -> str | None:
    """Say what is wrong with a segment, or None if it lies in its clip.

    Parameters
    ----------
    start, end
        Where it lies in the clip, in seconds; None or NaN where it is open.
    clip_seconds
        Length of the clip; by default only that is found which is wrong in any clip.

    Returns
    -------
    A reason that completes the sentence "the segment ...", or None.
    """
    start = 0.0 if is_open(start) else start
    end = clip_seconds if is_open(end) else end
    if start < 0:
        return f"starts at {start} s, before its clip"
    if start >= clip_seconds:
        return f"starts at {start} s, but its clip ends at {clip_seconds:.3f} s"
    if end <= start:
        return f"ends at {end} s, not after its start at {start} s"
    if end > clip_seconds + END_TOLERANCE:
        return f"ends at {end} s, but its clip at {clip_seconds:.3f} s"
    if min(end, clip_seconds) - start < SHORTEST_SEGMENT:
        return f"is shorter than {SHORTEST_SEGMENT} s"
    return None
