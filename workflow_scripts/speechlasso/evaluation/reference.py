"""The arm that all others are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def reference_arm(reads: Mapping[str, Collection[str]], named: str | None = None) -> str:
    """The named arm, or the first that reads text alone; without one the first of all.

    Parameters
    ----------
    reads
        What each arm predicts from, of text and audio, in their order.
    named
        As the configuration names it; of one that sweeps a setting it is the first value.
    """
    if named is not None:
        return next(arm for arm in reads if arm == named or arm.startswith(f"{named}["))
    of_text = [arm for arm, inputs in reads.items() if set(inputs) == {"text"}]
    return next(iter([*of_text, *reads]))
