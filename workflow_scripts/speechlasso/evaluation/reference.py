"""The arm that all others are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def reference_arm(reads: Mapping[str, Collection[str]]) -> str:
    """The first arm that reads text alone; without one the first of all.

    Parameters
    ----------
    reads
        What each arm predicts from, of text and audio, in their order.
    """
    of_text = [arm for arm, inputs in reads.items() if set(inputs) == {"text"}]
    return next(iter([*of_text, *reads]))
