"""What a file from a stranger may hold: code that would write a file if it ran."""

from __future__ import annotations

from pathlib import Path


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
