"""Where utterances come from and how they are divided, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_DIVIDED = {
    "given": "The table says which row is in which split.",
    "stratified": "Rows were divided at random by class ({which}).",
    "grouped": "Whole groups of rows were divided at random ({which}).",
    "leave_one_group_out": "The test rows are those of {which}.",
}


def name_of_data(path: str | None) -> str:
    """Of a table, or of the demo corpus where there is none."""
    return Path(path).name if path else "speechlasso's demo corpus"


def origin_of_data(path: str | None) -> str:
    """A sentence."""
    name = name_of_data(path)
    if path:
        return f"The utterances of {name}."
    return (
        f"Speech synthesised with espeak-ng: {name}, whose labels depend on words and prosody by a "
        "known rule."
    )


def division(method: Any, which: str) -> str:
    """A sentence.

    Parameters
    ----------
    method
        `Folds.method`.
    which
        The folds that it is about.
    """
    return _DIVIDED[method].format(which=which)
