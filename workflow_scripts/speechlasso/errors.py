"""The one error a user can cause and mend."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable
from typing import Any

# A password in an address (of two slashes a path keeps one), and what tokens of the Hugging Face
# hub look like.
_SECRET = re.compile(r"(:/{1,2})[^/@\s]+(?=@)|\bhf_[A-Za-z0-9]{20,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

DEBUG = "SPEECHLASSO_DEBUG"
"""In the environment of a job that tells also where in the program an error arose."""


class InputError(Exception):
    """Something in the user's data or configuration is wrong.

    The message is all the user sees (no traceback): it names the file, row or key, says what was
    expected and what to do. Secrets in it are masked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(for_terminal(without_secrets(message)))

    @classmethod
    def listing(cls, headline: str, problems: Iterable[str], advice: str = "") -> InputError:
        """One error that lists every problem, one to a line, between a headline and an advice."""
        lines = [headline, *(f"  - {problem}" for problem in problems)]
        if advice:
            lines.append(advice)
        return cls("\n".join(lines))


_RIGHTS = "may not be read or written by you; ask for the right to (`ls -ld` tells whose it is)"
_REFUSALS = {
    errno.ENOSPC: "the disk is full; make room (`df -h`), then do the same again",
    errno.EDQUOT: "your share of the disk (quota) is used up; make room, then do the same again",
    errno.EFBIG: "grew larger than a file may be here (`ulimit -f`, or the kind of disk)",
    errno.EROFS: "the disk is read-only; write elsewhere, or have it mounted for writing",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EISDIR: "is a folder; name a file",
    errno.ENOTDIR: "lies in what is a file, no folder",
    errno.EEXIST: "is a file where a folder is expected",
}


def refused_by_disk(error: BaseException, place: Any = None) -> InputError | None:
    """What a disk or the rights on it refused, in plain words; None for any other error.

    Libraries in other languages raise errors of their own, which have the reason in their text.

    Parameters
    ----------
    place
        To be named in place of a file that the error names; without either, its text is.
    """
    text = str(error)
    for code, words in _REFUSALS.items():
        if getattr(error, "errno", None) == code or os.strerror(code) in text:
            return InputError(f"{place or getattr(error, 'filename', None) or text}: {words}")
    if "No usable temporary directory" in text:  # what Python says if /tmp is full, too
        return InputError(f"{text}: make room in one of them, or name another one in TMPDIR")
    return None


_NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "_ALLOC_FAILED", "SIGKILL")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of a machine or a GPU did not suffice, whichever library says so.

    torch, which light stages have not imported, has a class of its own, and raises a RuntimeError
    for the memory of the machine; of a process of several that the system killed, its signal tells.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    told = any(words in str(error) for words in _NO_MEMORY)
    return told or bool(names & {"MemoryError", "OutOfMemoryError"})


def without_secrets(text: str) -> str:
    """With *** for a password in an address, and for what looks like a token of the hub."""
    return _SECRET.sub(r"\1***", text)


def for_terminal(text: str) -> str:
    """Without characters by which a text of anyone's could steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    names = list(map(str, known))
    if matches := difflib.get_close_matches(str(name), names, n=1, cutoff=0.5):
        return f"; did you mean {matches[0]!r}?"
    return f"; known here: {names_of(names)}" if names else ""


def names_of(known: Iterable[Any]) -> str:
    return ", ".join(sorted(map(str, known)))
