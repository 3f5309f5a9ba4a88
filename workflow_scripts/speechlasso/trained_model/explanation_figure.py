"""A figure of an explanation: effects over the waveform, and those of the words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from speechlasso.audio.reading import read_utterance
from speechlasso.errors import InputError
from speechlasso.figures import plain_text, short, svg
from speechlasso.files import write_text_where_named, written_where_named
from speechlasso.trained_model.explanation import Explanation

SUFFIXES = (".svg", ".png")
_SAMPLE_RATE = 16_000
_COLUMNS = 1500
MOST_WORDS = 100
_FOR, _AGAINST, _GREY = "#2f6fab", "#d9772b", "#777777"


@plain_text()
def explanation_figure(explanation: Explanation, utterance: pd.DataFrame) -> Figure:
    """Waveform and effects of its stretches in one time, below them the words.

    Parameters
    ----------
    utterance
        The row that was explained; its clips are read again.
    """
    words = explanation.parts[explanation.parts["kind"] == "word"]
    n_words = len(words)
    strongest = words["effect"].abs().nlargest(MOST_WORDS).index
    words = words[words.index.isin(strongest)]
    stretches = explanation.parts[explanation.parts["kind"] == "stretch"]
    heights = [1.4, 1.4] if len(stretches) else []
    if len(words):
        heights.append(0.8 + 0.22 * len(words))
    figure = Figure(figsize=(9, 0.6 + sum(heights)), layout="constrained")
    panels = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    if len(stretches):
        panels[0].sharex(panels[1])
        panels[0].tick_params(labelbottom=False)
        _draw_stretches(panels[1], stretches)
        _draw_waveform(panels[0], utterance.iloc[0], stretches)
    if len(words):
        _draw_words(panels[-1], words)
        if len(words) < n_words:
            panels[-1].set_xlabel(f"effect ({len(words)} of {n_words} words, the strongest)")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{short(explanation.decided)}, probability {explanation.probability:.3f}; "
        "effect: what it loses without the part",
        fontsize=10,
    )
    return figure


@plain_text()
def write_figure(path: str | Path, figure: Figure) -> None:
    """Write SVG or PNG, by the file's suffix.

    Raises
    ------
    InputError
        For any other suffix.
    """
    require_suffix(path)
    if Path(path).suffix.lower() == ".svg":
        write_text_where_named(path, svg(figure))
        return
    with written_where_named(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def require_suffix(path: str | Path) -> None:
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"--figure {path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def _draw_waveform(axes: Axes, utterance: pd.Series, stretches: pd.DataFrame) -> None:
    """The waveform's outline, shaded where stretches have an effect."""
    segment = utterance.get("start"), utterance.get("end")
    samples = read_utterance(utterance["audio"], _SAMPLE_RATE, *segment)
    size = -(-len(samples) // _COLUMNS)
    starts = np.arange(0, len(samples), size)
    low, high = (extreme.reduceat(samples, starts) for extreme in (np.minimum, np.maximum))
    axes.fill_between(starts / _SAMPLE_RATE, low, high, step="post", color=_GREY, linewidth=0)
    strength = Normalize(0, stretches["effect"].abs().max() or 1.0)
    for row in stretches.itertuples():
        axes.axvspan(
            row.utterance_start,
            row.utterance_end,
            color=_colour(row.effect),
            alpha=0.6 * float(strength(abs(row.effect))),
            linewidth=0,
        )
    axes.set(ylabel="amplitude", xlim=(0, len(samples) / _SAMPLE_RATE))


def _draw_stretches(axes: Axes, stretches: pd.DataFrame) -> None:
    axes.bar(
        stretches["utterance_start"],
        stretches["effect"],
        stretches["utterance_end"] - stretches["utterance_start"],
        align="edge",
        color=[_colour(effect) for effect in stretches["effect"]],
        alpha=0.7,  # single tokens of one frame stand over each other
    )
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.set(xlabel="seconds from the utterance's start", ylabel="effect")


def _draw_words(axes: Axes, words: pd.DataFrame) -> None:
    axes.barh(
        range(len(words)), words["effect"], color=[_colour(effect) for effect in words["effect"]]
    )
    axes.set_yticks(range(len(words)), map(short, words["part"]))
    axes.invert_yaxis()
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlabel="effect")


def _colour(effect: float) -> str:
    return _FOR if effect > 0 else _AGAINST
