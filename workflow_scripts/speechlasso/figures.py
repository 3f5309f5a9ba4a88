"""What all figures share: names drawn as they are, and the same bytes for the same data."""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

LONGEST_NAME = 40
_NOT_DRAWN = '<p class="note">This figure could not be drawn; the log of the rule tells why.</p>'


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw dollar signs and the like as they are; to be held while a figure is made and saved.

    It decorates functions as well. In SVG text stays text, which browsers draw in any script.
    """
    settings = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "speechlasso"}
    with matplotlib.rc_context(settings):
        yield


@plain_text()
def svg(figure: Figure) -> str:
    """The figure as an <svg> element; the same data give the same bytes."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()[stream.getvalue().index("<svg") :]


def figure_or_sentence(draw: Callable[..., str], *content: Any) -> Markup:
    """The figure, or a sentence in its place: by now all models are trained.

    What went wrong is logged with its traceback.
    """
    try:
        return Markup(draw(*content))
    except Exception:
        logger.exception("%s failed, and the page is written without it", draw.__name__)
        return Markup(_NOT_DRAWN)


def short(name: str) -> str:
    """A name that fits into a figure: one line, long ones without their middle."""
    # Control characters and lone surrogates have no glyph, and no place in XML.
    name = "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in " ".join(name.split())
    )
    if len(name) <= LONGEST_NAME:
        return name
    n_last = LONGEST_NAME // 3
    return f"{name[: LONGEST_NAME - n_last - 1]}…{name[-n_last:]}"
