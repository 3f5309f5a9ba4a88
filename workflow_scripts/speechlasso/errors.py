"""The one error a user can cause and mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class InputError(Exception):
    """Something in the user's data or configuration is wrong.

    The message is all the user sees (no traceback): it names the file, row or key, says what was
    expected and what to do.
    """

    @classmethod
    def listing(cls, headline: str, problems: Iterable[str], advice: str = "") -> InputError:
        """One error that lists every problem, one to a line, between a headline and an advice."""
        lines = [headline, *(f"  - {problem}" for problem in problems)]
        if advice:
            lines.append(advice)
        return cls("\n".join(lines))


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    names = list(map(str, known))
    if matches := difflib.get_close_matches(str(name), names, n=1, cutoff=0.5):
        return f"; did you mean {matches[0]!r}?"
    return f"; known here: {names_of(names)}" if names else ""


def names_of(known: Iterable[Any]) -> str:
    return ", ".join(sorted(map(str, known)))
