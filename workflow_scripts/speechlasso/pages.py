"""Self-contained HTML pages, and tables in Markdown and LaTeX that show names as they are."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from speechlasso import __version__
from speechlasso.blocks import Section

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
)


def render_page(title: str, sections: Sequence[Section], heading: str = "", about: str = "") -> str:
    """HTML with everything inside: it asks for no other file, and runs no script but its own.

    Parameters
    ----------
    title
        Of the window.
    heading
        Above the page; by default the title.
    about
        A line below the heading.
    """
    environment = Environment(
        loader=PackageLoader("speechlasso"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"data_link": data_link, "inline": Markup}
    script = environment.loader.get_source(environment, "page.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        title=title,
        heading=heading or title,
        about=about,
        sections=sections,
        script=Markup(script),
        policy=_POLICY.format(digest=digest),
        version=__version__,
    )


def data_link(content: str | bytes, kind: str) -> str:
    """An address that is the content itself."""
    content = content.encode() if isinstance(content, str) else content
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


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
            column_format="@{}l" + "c" * (len(header) - 1) + "@{}",
            position_float="centering",
            caption=caption,
            label=label,
        )
    )
    # Scores with their intervals in five columns fill the width of a page then; and LaTeX's classes
    # leave no room between a caption and the table below it.
    style = r"\small\setlength{\tabcolsep}{3pt}\setlength{\belowcaptionskip}{4pt}"
    text = text.replace("\\centering\n", f"\\centering{style}\n", 1)
    head = "% \\usepackage{booktabs}\n"
    if not text.isascii():
        head += "% Letters that pdfLaTeX has not: compile with LuaLaTeX or XeLaTeX.\n"
    return head + text
