"""Self-contained HTML pages, and the tables in them."""

from __future__ import annotations

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
