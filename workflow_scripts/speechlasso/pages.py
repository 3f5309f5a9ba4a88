"""Self-contained HTML pages, and tables in HTML, Markdown and LaTeX that show names as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from speechlasso import __version__


def render_page(template: str, **content: Any) -> str:
    """HTML with everything inside: no script, no link to another file."""
    environment = Environment(loader=PackageLoader("speechlasso"), autoescape=True)
    return environment.get_template(template).render(version=__version__, **content)


def html_table(frame: pd.DataFrame) -> Markup:
    """Every cell escaped, and in full."""
    return Markup(
        frame.to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.4g}")
    )


def markdown_text(name: str) -> str:
    """A name of the user's in Markdown that shows it and reads no markup, HTML or formula in it."""
    name = " ".join(name.split())
    return re.sub(r"[\\`*\[\]<>$|~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", name)


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # the font of pdfLaTeX has no other one
    # Not the optional argument of a line's end.
    "[": "{[}",
    "]": "{]}",
}


def latex_text(name: str) -> str:
    """A name of the user's in LaTeX that shows it and has no command in it."""
    printable = "".join(letter for letter in " ".join(name.split()) if letter.isprintable())
    return "".join(_LATEX.get(letter, letter) for letter in printable)


def latex_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str | None = None
) -> str:
    """A floating table, for the package booktabs, of cells and a caption that are LaTeX already."""
    text = (
        pd.DataFrame(rows, columns=list(header))
        .style.hide(axis="index")
        .to_latex(
            hrules=True,
            column_format="l" + "c" * (len(header) - 1),
            position_float="centering",
            caption=caption,
            label=label,
        )
    )
    head = "% \\usepackage{booktabs}\n"
    if not text.isascii():
        head += "% Letters that pdfLaTeX has not: compile with LuaLaTeX or XeLaTeX.\n"
    return head + text
