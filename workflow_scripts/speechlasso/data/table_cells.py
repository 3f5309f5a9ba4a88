"""What a cell of a table says: a text, or the clips of an utterance.

Clips may lie in the table itself, as datasets of the Hugging Face hub have them; they are written
out under the SHA-256 of their bytes, so that all later stages read files.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import numbers
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso.files import written_whole


@dataclass(frozen=True)
class Refused:
    """A cell that says nothing; `reason` completes the sentence "the text ..."."""

    reason: str


_PLAIN = (str, numbers.Number, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)


def cell_text(cell: Any) -> str | Refused:
    """A cell as text, exactly as it stands there; "" where there is nothing."""
    text = _written(cell)
    if isinstance(text, str) and "\0" in text:
        return Refused("holds a zero byte")
    return text


def _written(cell: Any) -> str | Refused:
    """The same with zero bytes, which a check of the clip itself tells of."""
    if isinstance(cell, bytes):
        try:
            cell = cell.decode("utf-8")
        except UnicodeDecodeError as error:
            return Refused(f"is bytes that are no UTF-8 (0x{cell[error.start]:02x})")
    if _is_nothing(cell):
        return ""
    if not isinstance(cell, _PLAIN):
        return Refused(f"is no text but {_kind(cell)}")
    text = str(cell)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            return Refused(f"holds half a character (U+{code:04X}, a surrogate without its other)")
    return text


@dataclass(frozen=True)
class ClipCells:
    """How cells of the audio column are read.

    Parameters
    ----------
    root
        Folder that paths start from.
    separator
        Stands between the paths in a cell.
    folder
        Where clips are written that cells hold as bytes; None refuses them.
    """

    root: Path
    separator: str
    folder: Path | None = None

    def __call__(self, cell: Any) -> list[str] | Refused:
        """Paths of the clips, in their order."""
        parts = cell if isinstance(cell, list | tuple) else [cell]
        clips: list[str] = []
        for part in parts:
            found = self._clips(part, split=parts is not cell)
            if isinstance(found, Refused):
                return found
            clips += found
        return clips

    def _clips(self, part: Any, split: bool) -> list[str] | Refused:
        content, path = part, part
        if isinstance(part, dict):
            if not {"bytes", "path"} & part.keys():
                return Refused(f"is {_kind(part)}; expected one of bytes or path")
            content, path = part.get("bytes"), part.get("path")
        if isinstance(content, bytes) and (isinstance(part, dict) or b"\0" in content):
            return self._stored(content, path if isinstance(path, str) else "")
        text = _written(path)
        if isinstance(text, Refused):
            return text
        names = text.split(self.separator) if split and not isinstance(part, dict) else [text]
        return [str(self.root / name.strip()) for name in names if name.strip()]

    def _stored(self, content: bytes, name: str) -> list[str] | Refused:
        if self.folder is None:
            return Refused("holds sound, but here only clips in files are read")
        if not content:
            return Refused("holds a clip of no bytes")
        suffix = Path(name).suffix
        path = self.folder / hashlib.sha256(content).hexdigest()
        if re.fullmatch(r"\.\w{1,8}", suffix):
            path = path.with_suffix(suffix)
        if not path.exists():
            with written_whole(path) as temporary:
                temporary.write_bytes(content)
        return [str(path)]


def _is_nothing(cell: Any) -> bool:
    return cell is None or cell is pd.NaT or cell is pd.NA or (cell != cell) is True


def _kind(cell: Any) -> str:
    if isinstance(cell, dict):
        return f"a structure of {', '.join(map(str, cell)) or 'nothing'}"
    return "a list" if isinstance(cell, list | tuple) else f"a {type(cell).__name__}"
