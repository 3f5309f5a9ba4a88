"""What pages are made of: sections of text, tables, figures and sounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from speechlasso.figures import drawn_or_none, on_page, words_of

MOST_ROWS = 200
MOST_BYTES_OF_SOUND = 8_000_000
LONG_TEXT = 50
MANY_COLUMNS, MOST_UNBROKEN = 16, 32
"""More are in smaller type on paper, and still more break within numbers."""
_LEAST_WIDTH = 430
_LEAST_SHARE = 0.75


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    words: str
    role: str = ""
    """note: in grey. lead: what the page is about."""


@dataclass(frozen=True)
class Cell:
    """What a cell of a table shows, and the number it is sorted by where there is one."""

    text: str
    key: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose rows can be sorted.

    Attributes
    ----------
    caption
        What it shows.
    frame
        Texts, numbers (shown to four digits), truth values; empty where missing.
    keys
        For columns whose texts do not sort by themselves (1.5 min), numbers that do.
    sounds
        For each row an MP3, or None; the second column plays them.
    most_rows
        More are left out, the last ones.
    whole
        The file that has all rows.
    """

    kind: ClassVar[str] = "table"
    caption: str
    frame: pd.DataFrame
    keys: Mapping[str, Sequence[float]] = field(default_factory=dict)
    sounds: Sequence[bytes | None] = ()
    most_rows: int = MOST_ROWS
    whole: str = ""

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The name of each column, and its class: numbers stand to the right, long texts break."""
        return [(str(name), self._class(name)) for name in self.frame]

    @property
    def width(self) -> str:
        """The table's class: how small paper shows it."""
        n_columns = len(self.frame.columns)
        return "broken" if n_columns > MOST_UNBROKEN else "many" * (n_columns > MANY_COLUMNS)

    @property
    def rows(self) -> list[tuple[list[Cell], bytes | None]]:
        """The cells of each row, and its sound."""
        shown = self.frame.head(self.most_rows)
        cells = zip(*(self._cells(name, shown[name]) for name in shown), strict=True)
        sounds = self.sounds or len(self.frame) * [None]
        return list(zip(map(list, cells), sounds, strict=False))

    @property
    def left_out(self) -> int:
        return max(0, len(self.frame) - self.most_rows)

    def _cells(self, name: str, column: pd.Series) -> list[Cell]:
        numbers = self.keys.get(name, column if _is_numeric(column) else ())
        keys = ["" if pd.isna(number) else repr(float(number)) for number in numbers]
        keys = keys or len(column) * [""]
        texts = _in_few_digits(column) if pd.api.types.is_float_dtype(column) else column
        return [Cell(cell_text(value), key) for value, key in zip(texts, keys, strict=False)]

    def _class(self, name: str) -> str:
        column = self.frame[name]
        if name in self.keys or _is_numeric(column):
            return "number"
        return "long" if column.map(lambda cell: len(cell_text(cell))).max() > LONG_TEXT else ""


@dataclass(frozen=True)
class Figure:
    """A figure with its data, both to be taken home.

    Attributes
    ----------
    name
        Of its files, and of nothing else on the page: letters, digits, hyphens.
    title
        Its name for those who hear it.
    drawn
        The <svg>, or None where it could not be drawn.
    data
        What is drawn.
    caption
        Below it, before what the figure says of itself.
    """

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    drawn: str | None
    data: pd.DataFrame
    caption: str = ""

    @classmethod
    def of(
        cls, name: str, title: str, data: pd.DataFrame, draw: Any, *content: Any, caption: str = ""
    ) -> Figure:
        """What `draw` makes of the content; where it fails a sentence stands in the page."""
        return cls(name, title, drawn_or_none(draw, *content), data, caption)

    @cached_property
    def svg(self) -> str:
        return on_page(self.drawn, self.name, self.title) if self.drawn else ""

    @property
    def words(self) -> str:
        """What is to be seen in it, if it says so."""
        return words_of(self.drawn) if self.drawn else ""

    @property
    def least_width(self) -> str:
        """What it is drawn in at least, so that a narrow page does not make its words too small;
        what is wider scrolls in its box."""
        drawn = float(re.search(r'width="([0-9.]+)pt"', self.svg)[1])
        return f"{min(drawn, max(_LEAST_WIDTH, _LEAST_SHARE * drawn)):.0f}pt"

    def files(self) -> dict[str, str]:
        """The figure and its data, by the names of their files."""
        files = {f"{self.name}.csv": self.data.to_csv(index=False)}
        return files | ({f"{self.name}.svg": self.svg} if self.svg else {})


@dataclass(frozen=True)
class Sounds:
    """A list of recordings to be heard, folded up.

    Attributes
    ----------
    title
        What is heard.
    sounds
        A label for each recording and its MP3.
    words
        About all of them.
    """

    kind: ClassVar[str] = "sounds"
    title: str
    sounds: Sequence[tuple[str, bytes]]
    words: str = ""


@dataclass
class SoundBudget:
    """Takes sounds in while there is room, and counts those that it refuses: a page must open on a
    phone.

    Attributes
    ----------
    left
        Bytes that still fit.
    """

    left: int = MOST_BYTES_OF_SOUND
    n_taken: int = 0
    n_refused: int = 0

    def take(self, sound: bytes | None) -> bytes | None:
        """The sound where it fits; none, where there is none."""
        if not sound:
            return None
        if len(sound) > self.left:
            self.n_refused += 1
            return None
        self.left -= len(sound)
        self.n_taken += 1
        return sound

    def told(self, whole: str) -> list[Text]:
        """A sentence where something was left out, which names the files that have all."""
        if not self.n_refused:
            return []
        some = f"{self.n_refused} of {self.n_taken + self.n_refused} recordings"
        return [
            Text(
                f"{some} are left out, as the page holds {MOST_BYTES_OF_SOUND / 1e6:g} MB of sound "
                f"at most; {whole}.",
                "note",
            )
        ]


@dataclass(frozen=True)
class Group:
    """Blocks below a heading within a section."""

    kind: ClassVar[str] = "group"
    title: str
    blocks: Sequence[Any]
    beside: bool = False
    """Whether the blocks stand beside each other where there is room."""
    folded: bool = False
    """Whether the blocks are hidden until they are asked for."""


@dataclass(frozen=True)
class Section:
    """Blocks below a heading that the table of contents names."""

    title: str
    blocks: Sequence[Any]

    @property
    def id(self) -> str:
        return slug(self.title)


def figures_in(sections: Iterable[Section]) -> list[Figure]:
    """All figures, in their order."""
    found: list[Figure] = []
    for section in sections:
        for block in section.blocks:
            inner = block.blocks if isinstance(block, Group) else [block]
            found += [one for one in inner if isinstance(one, Figure)]
    return found


def slug(name: str) -> str:
    """A name in letters, digits and hyphens; other names may have the same."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "unnamed"


def cell_text(value: Any) -> str:
    """A cell of a table for people: numbers to four digits, empty where missing."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _in_few_digits(column: pd.Series) -> list[str]:
    """Floats with as many decimals as the largest needs for four digits, all the same."""
    filled = column.abs().replace(np.inf, np.nan).dropna()
    largest, smallest = filled.max(), filled[filled > 0].min()
    if filled.empty or pd.isna(smallest):
        return [cell_text(number) for number in column]
    decimals = int(np.clip(3 - np.floor(np.log10(largest)), 0, 3))
    while decimals and np.allclose(filled, filled.round(decimals - 1), rtol=0, atol=1e-9):
        decimals -= 1
    if smallest < 0.5 * 10**-decimals:
        return [cell_text(number) for number in column]
    texts = [f"{number:.{decimals}f}" if number else "0" for number in column]
    return [text if text != "nan" else "" for text in texts]
