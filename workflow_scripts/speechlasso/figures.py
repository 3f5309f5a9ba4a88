"""What all figures share: names as they are, colours, and the same bytes for the same data."""

from __future__ import annotations

import io
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

import matplotlib
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

LONGEST_NAME = 40
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#b65c92", "#7d838a"
"""After Okabe and Ito (2008), told apart whatever the colour vision; each has a contrast of 3 and
more to the light and to the dark page."""
_COLOURS = cycler(color=[BLUE, ORANGE, GREEN, PURPLE, GREY])
_MARKERS = cycler(marker=["o", "s", "^", "D", "v", "P"])
SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.03, 0.32, 0.61, 0), (0.03, 0.32, 0.61, 0.6)]
)
"""From nothing to a blue on which ink can be read, on light and on dark pages."""
BLUES = LinearSegmentedColormap.from_list("blues", [(0, 0.45, 0.7, 0), (0, 0.45, 0.7, 1)])
"""From nothing to blue, where nothing is written on it."""
SIGNED = LinearSegmentedColormap.from_list(
    "signed", [(0, 0.45, 0.7, 1), (0, 0.45, 0.7, 0), (0.84, 0.37, 0, 0), (0.84, 0.37, 0, 1)]
)
"""Blue below zero, nothing at it, orange above."""
_INK = "#1b1f23"
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _LINK)


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw dollar signs and the like as they are; to be held while a figure is made and saved.

    It decorates functions as well. In SVG text stays text, which browsers draw in any script.
    """
    settings = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "speechlasso"}
    settings |= dict.fromkeys(("text.color", "xtick.color", "ytick.color"), _INK)
    settings |= dict.fromkeys(("axes.labelcolor", "axes.edgecolor"), _INK)
    settings |= {"font.sans-serif": ["DejaVu Sans", "Verdana"]}
    settings |= {"axes.prop_cycle": _COLOURS, "legend.frameon": False}
    settings |= dict.fromkeys(("axes.spines.top", "axes.spines.right"), False)
    with matplotlib.rc_context(settings):
        yield


@plain_text()
def svg(figure: Figure, words: str = "") -> str:
    """The figure as an <svg> element, with what is to be seen in it in words; the same data give
    the same bytes."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    drawn = stream.getvalue()[stream.getvalue().index("<svg") :]
    if not words:
        return drawn
    head, rest = drawn.split(">", maxsplit=1)
    return f"{head}><desc>{escape(words)}</desc>{rest}"


def words_of(drawn: str) -> str:
    """What is to be seen in a figure, as `svg` was told."""
    found = re.search("<desc>(.*?)</desc>", drawn)
    return unescape(found[1]) if found else ""


def on_page(drawn: str, name: str, title: str) -> str:
    """The same <svg> for a page that is light or dark: ink in the colour of the text around it, no
    background, the title as its name for those who hear it, its words as what describes it, and
    ids that no other figure has.

    Parameters
    ----------
    drawn
        As `svg` makes it.
    name
        Another one for each figure of a page: letters, digits, hyphens.
    """
    root = ElementTree.fromstring(drawn)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _of_page(key, value, name))
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    described = ElementTree.Element(f"{{{_SVG}}}title", id=f"{name}-title")
    described.text = title
    root.insert(0, described)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title", "color": "currentColor"}
    words = root.find(f"{{{_SVG}}}desc")
    if words is not None:
        words.set("id", f"{name}-words")
        root.set("aria-describedby", f"{name}-words")
    return ElementTree.tostring(root, encoding="unicode")


def _of_page(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "style":
        value = value.replace(_INK, "currentColor").replace("fill: #ffffff", "fill: none")
    if key in ("style", "clip-path"):
        return re.sub(r"url\(#", f"url(#{name}-", value)
    return f"#{name}-{value[1:]}" if key == f"{{{_LINK}}}href" and value[0] == "#" else value


def drawn_or_none(draw: Callable[..., str], *content: Any) -> str | None:
    """The figure, or None where it cannot be drawn: by now all models are trained.

    What went wrong is logged with its traceback.
    """
    try:
        return draw(*content)
    except Exception:
        logger.exception("%s failed, and the page is written without it", draw.__name__)
        return None


def styles() -> Iterator[dict[str, Any]]:
    """Colours and markers that tell 30 arms apart, neighbours by both, without end."""
    pairs = zip(cycle(_COLOURS), cycle(_MARKERS), strict=False)
    return (colour | marker for colour, marker in pairs)


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
