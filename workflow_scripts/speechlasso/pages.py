"""Self-contained HTML pages, and the tables and figures in them."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from speechlasso import __version__


def render_page(template: str, **content: Any) -> str:
    """HTML with everything inside: no script, no link to another file."""
    environment = Environment(loader=PackageLoader("speechlasso"), autoescape=True)
    return environment.get_template(template).render(version=__version__, **content)


def html_table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.4g}")


def svg(figure: Figure) -> str:
    """The figure as an <svg> element; text stays text, and the same data give the same bytes."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "speechlasso"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()[stream.getvalue().index("<svg") :]
