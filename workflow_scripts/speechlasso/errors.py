"""The one error a user can cause and mend."""

from __future__ import annotations

from collections.abc import Iterable


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
