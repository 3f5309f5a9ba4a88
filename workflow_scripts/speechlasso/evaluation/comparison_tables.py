"""Tables of compared arms, for a terminal, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import pandas as pd

from speechlasso.evaluation.summary import with_interval
from speechlasso.pages import latex_table, latex_text, markdown_table, markdown_text

WIDTH = 100
"""Columns of a terminal."""
_NARROWEST = 20
_SPACE = 2  # between columns: a padding and a divider


@dataclass(frozen=True)
class Table:
    """Cells as people read them; the first column is that of the arms."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def render(self, form: str) -> str:
        """As text, markdown or latex."""
        if form == "markdown":
            rows = ([markdown_text(arm), *cells] for arm, *cells in self.rows)
            return f"{self.title}\n\n{markdown_table(map(markdown_text, self.columns), rows)}"
        if form == "latex":
            cells = [[_in_latex(cell) for cell in row] for row in self.rows]
            return latex_table(
                [_in_latex(name) for name in self.columns], cells, _in_latex(self.title)
            )
        return f"{self.title}\n\n{_text(self.columns, self.rows)}"


def arms_of_one(found: pd.DataFrame, title: str, verdicts: Mapping[str, str]) -> Table:
    """The arms of one experiment.

    Parameters
    ----------
    found
        As `comparison.compare_arms` returns it, with the column reference.
    verdicts
        On each arm against the reference.
    """
    reference = found["reference"].iloc[0]
    cells = {
        "arm": found["arm"].tolist(),
        "folds": [str(n) for n in found["n"]] if found["n"].nunique() > 1 else [],
        "validation": [with_margin(x) for x in found["validation"]],
        "test": _scores(found),
        "sd over seeds": [with_margin(x) for x in found["seed_sd"]],
        f"minus {reference}": _differences(found),
        "verdict": [verdicts.get(arm, "") for arm in found["arm"]],
    }
    shown = {name: column for name, column in cells.items() if any(column)}
    return Table(title, list(shown), list(zip(*shown.values(), strict=True)))


def side_by_side(found: Mapping[str, pd.DataFrame], title: str) -> list[Table]:
    """Arms of several experiments: their test scores, and their differences to the reference arm
    of each."""
    arms = list(dict.fromkeys(arm for table in found.values() for arm in table["arm"]))
    scores, differences = {}, {}
    for name, table in found.items():
        of_arms = table["arm"]
        scores[name] = dict(zip(of_arms, _scores(table), strict=True))
        column = f"{name}, minus {table['reference'].iloc[0]}"
        differences[column] = dict(zip(of_arms, _differences(table), strict=True))
    tables = []
    for what, by_arm in ((title, scores), ("Differences within each", differences)):
        rows = [[arm, *(column.get(arm, "") for column in by_arm.values())] for arm in arms]
        tables.append(Table(what, ["arm", *by_arm], [row for row in rows if any(row[1:])]))
    return tables


def between(pairs: pd.DataFrame, title: str) -> Table:
    """The same arms in several experiments, as `pairing.pair_table` compares them."""
    columns = pairs["arm"], pairs["experiment"], _differences(pairs), pairs["verdict"]
    header = ["arm", "experiment", "difference", "verdict"]
    return Table(title, header, list(zip(*columns, strict=True)))


def as_notes(sentences: Iterable[str], form: str) -> str:
    """Paragraphs below the tables, each after an empty line."""
    in_form = {"text": _folded, "markdown": markdown_text, "latex": lambda s: f"% {s}"}[form]
    paragraphs = ("\n".join(map(in_form, s.splitlines())) for s in sentences)
    return "".join(f"\n{paragraph}\n" for paragraph in paragraphs).rstrip("\n")


def _folded(line: str) -> str:
    indent = "  " * line.startswith("- ")
    options = {"break_long_words": False, "break_on_hyphens": False}
    return fill(line, WIDTH, subsequent_indent=indent, **options)


def with_margin(value: float, margin: float = float("nan"), sign: str = "") -> str:
    """0.848 ± 0.047; without the margin, or nothing, where it or the value is NaN."""
    if value != value:
        return ""
    return f"{value:{sign}.3f}" + ("" if margin != margin else f" ± {margin:.3f}")


def _scores(found: pd.DataFrame) -> list[str]:
    """With their intervals: by its ends where it is not symmetric."""
    return [
        with_margin(row.test, (row.test_high - row.test_low) / 2)
        if np.isclose(row.test_high - row.test, row.test - row.test_low, equal_nan=True)
        else with_interval(row.test, row.test_low, row.test_high)
        for row in found.itertuples()
    ]


def _differences(found: pd.DataFrame) -> list[str]:
    pairs = zip(found["difference"], found["difference_margin"], strict=True)
    return [with_margin(*pair, sign="+") for pair in pairs]


def _in_latex(cell: str) -> str:
    text = latex_text(cell).replace("±", r"$\pm$")
    return f"$-${text[1:]}" if text.startswith("-") else text


def _text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In columns; names of arms are folded where it would otherwise be wider than `WIDTH`."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as Printed

    rows = list(rows)
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    others = sum(widths[1:]) + _SPACE * (len(columns) - 1)
    printed = Printed(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    first = max(min(widths[0], WIDTH - others), min(widths[0], _NARROWEST))
    printed.add_column(columns[0], overflow="fold", width=first)
    for name in columns[1:]:
        is_text = name in ("verdict", "experiment")
        printed.add_column(name, no_wrap=True, justify="left" if is_text else "right")
    for row in rows:
        printed.add_row(*row)
    console = Console(
        width=max(WIDTH, first + others + 4 * len(columns)), markup=False, emoji=False
    )
    with console.capture() as captured:
        console.print(printed)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())
