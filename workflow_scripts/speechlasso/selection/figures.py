"""Figures of a selection, as SVG: the regularisation path and the weights of the kept tokens.

The same data give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from speechlasso.evaluation.cards import title_of
from speechlasso.figures import BLUE, GREY, ORANGE, SIGNED, plain_text, short, svg
from speechlasso.selection.token_evidence import strongest

_SIZES = {
    "n_tokens": ("kept audio tokens", BLUE, "-"),
    "n_audio": ("audio features with weight", BLUE, ":"),
    "n_text": ("words with weight", ORANGE, ":"),
}
_TOKENS_PER_BAND = 60
MOST_TOKENS = 300
MOST_CLASSES = 30
_MOST_MARKERS = 2000
_NO_TOKEN = "no audio token is kept"


@plain_text()
def path_figure(table: pd.DataFrame, chosen_alpha: float | None = None) -> str:
    """Sizes of the selection and validation score along the path, the chosen alpha marked.

    Parameters
    ----------
    table
        Columns alpha; any of n_tokens, n_audio and n_text; and where scores were measured
        holdout_<metric>, or mean and standard_error as `alpha_choice.cross_validate` makes them.
    """
    table = table.sort_values("alpha")
    score = next((name for name in table if name == "mean" or name.startswith("holdout_")), None)
    figure = Figure(figsize=(8, 5 if score else 3), layout="constrained")
    panels = figure.subplots(2 if score else 1, 1, sharex=True, squeeze=False)[:, 0]
    for column in table.columns.intersection(list(_SIZES)):
        label, colour, style = _SIZES[column]
        panels[0].plot(table["alpha"], table[column], style, color=colour, label=label)
    # Linear up to 10, so that an empty selection has its place; logarithmic above.
    panels[0].set_yscale("symlog", linthresh=10)
    panels[0].yaxis.set_major_formatter("{x:.0f}")
    panels[0].set(ylabel="number", ylim=(0, None))
    if score:
        _draw_scores(panels[1], table, score)
    panels[-1].set(xscale="log", xlabel="alpha")
    # The usual labels of a logarithmic axis are formulas, which `plain_text` leaves as they are.
    panels[-1].xaxis.set_major_formatter("{x:g}")
    panels[-1].xaxis.set_minor_formatter(LogFormatter())
    if chosen_alpha is not None:
        _mark_alpha(panels, chosen_alpha)
    figure.legend(loc="outside upper center", ncols=len(_SIZES))
    return svg(figure, _words_of_path(table, score, chosen_alpha))


@plain_text()
def layer_weight_figure(tokens: pd.DataFrame) -> str:
    """Weight of each kept audio token, a strip of points for each codec layer.

    Parameters
    ----------
    tokens
        Columns layer and weight, as `token_evidence` makes them.
    """
    layers = np.unique(tokens["layer"])
    figure = Figure(figsize=(max(3.0, 1.5 + 0.9 * len(layers)), 3.5), layout="constrained")
    axes = figure.subplots()
    if tokens.empty:
        return svg(_without_tokens(figure, axes))
    for place, layer in enumerate(layers):
        weights = np.sort(tokens.loc[tokens["layer"] == layer, "weight"])
        # Multiples of the golden ratio spread neighbours evenly, and need no random numbers.
        spread = (np.arange(len(weights)) * 0.6180339887 + 0.5) % 1 - 0.5
        axes.plot(
            place + 0.6 * spread,
            weights,
            "o",
            color=BLUE,
            alpha=0.6,
            markersize=4,
            rasterized=len(tokens) > _MOST_MARKERS,
        )
    names = [f"layer {layer}\n{(tokens['layer'] == layer).sum()} kept" for layer in layers]
    axes.set(xticks=range(len(layers)), xticklabels=names, ylabel="weight")
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=(min(0, tokens["weight"].min()), None))
    return svg(figure)


@plain_text()
def class_weight_figure(tokens: pd.DataFrame) -> str:
    """Heat map of weights: kept audio tokens by class, in bands where they are many.

    Of more than `MOST_TOKENS` tokens it shows those of largest weight, and of more than
    `MOST_CLASSES` classes those whose weights at them are largest in sum.

    Parameters
    ----------
    tokens
        Columns layer, code, weight and weight_<class> for each class, as `token_evidence` makes
        them.
    """
    title = _left_out(tokens)
    tokens = strongest_tokens(tokens).sort_values(["layer", "code"])
    names = strongest_classes(tokens)
    weights = tokens[names].to_numpy().T
    labels = [
        f"{layer}:{code}" for layer, code in zip(tokens["layer"], tokens["code"], strict=True)
    ]
    classes = [short(name.removeprefix("weight_")) for name in names]
    width = min(max(len(tokens), 1), _TOKENS_PER_BAND)
    starts = range(0, max(len(tokens), 1), _TOKENS_PER_BAND)
    figure, panels = _bands(len(starts), width, classes)
    if tokens.empty:
        return svg(_without_tokens(figure, panels[0]))
    limit = np.abs(weights).max() or 1.0
    for axes, start in zip(panels, starts, strict=True):
        part = slice(start, start + _TOKENS_PER_BAND)
        band = weights[:, part]
        image = axes.imshow(band, vmin=-limit, vmax=limit, cmap=SIGNED, aspect="auto")
        axes.set(xlim=(-0.5, width - 0.5), yticks=range(len(classes)), yticklabels=classes)
        axes.set_xticks(range(band.shape[1]), labels[part], rotation=90, fontsize=7)
        axes.spines[:].set_visible(False)
    panels[0].set_title(title, fontsize=10)
    panels[-1].set_xlabel("layer:code")
    figure.colorbar(image, ax=list(panels), label="weight")
    return svg(figure)


def _bands(n_bands: int, width: int, classes: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """A figure with room for so many bands of tokens, and for the names of the classes."""
    longest = max(map(len, classes), default=0)
    height = 0.6 + n_bands * (0.6 + 0.25 * max(len(classes), 1))
    figure = Figure(figsize=(1.5 + 0.08 * longest + 0.16 * width, height), layout="constrained")
    return figure, figure.subplots(n_bands, 1, squeeze=False)[:, 0]


def _left_out(tokens: pd.DataFrame) -> str:
    """What the heat map shows less than all of."""
    numbers = [
        (MOST_TOKENS, len(tokens), "tokens"),
        (MOST_CLASSES, len(_weights(tokens).columns), "classes"),
    ]
    parts = [f"{most} of {number} {what}" for most, number, what in numbers if most < number]
    return f"{', '.join(parts)}: those with the largest weights" if parts else ""


def strongest_tokens(tokens: pd.DataFrame) -> pd.DataFrame:
    """Those of largest weight, as many as are shown, in their order."""
    return strongest(tokens, MOST_TOKENS)


def strongest_classes(tokens: pd.DataFrame) -> list[str]:
    """Columns weight_<class> of the classes to be shown, in their order."""
    weights = _weights(tokens)
    sums = weights.abs().sum().sort_values(ascending=False, kind="stable")
    return [name for name in weights if name in set(sums.index[:MOST_CLASSES])]


def _weights(tokens: pd.DataFrame) -> pd.DataFrame:
    return tokens.loc[:, tokens.columns.str.startswith("weight_")]


def _draw_scores(axes: Axes, table: pd.DataFrame, score: str) -> None:
    axes.plot(table["alpha"], table[score], color=BLUE)
    if score == "mean":
        low = table["mean"] - table["standard_error"]
        high = table["mean"] + table["standard_error"]
        axes.fill_between(table["alpha"], low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.set_ylabel(_name_of(score))


def _name_of(score: str) -> str:
    metric = score.removeprefix("holdout_")
    return "cross-validated score" if score == "mean" else f"held-out {title_of(metric)}"


def _words_of_path(table: pd.DataFrame, score: str | None, chosen_alpha: float | None) -> str:
    """From how many to how many features, and the score: at most, and next to the chosen alpha."""
    parts = [
        f"{table[column].min():g} to {table[column].max():g} {label}"
        for column, (label, *_) in _SIZES.items()
        if column in table
    ]
    scores = table.set_index("alpha")[score].dropna() if score else pd.Series(dtype=float)
    if len(scores):
        most = f"at most {scores.max():.3f}, at alpha = {scores.idxmax():.4g}"
        parts.append(f"{_name_of(score)} {most}")
    if len(scores) and chosen_alpha is not None:
        nearest = scores.iloc[np.abs(np.log(scores.index / chosen_alpha)).argmin()]
        parts.append(f"{nearest:.3f} where alpha is next to the chosen one")
    return f"On the path: {'; '.join(parts)}."


def _mark_alpha(panels: Sequence[Axes], alpha: float) -> None:
    for axes in panels:
        axes.axvline(alpha, color=GREY, linestyle="--", linewidth=1)
    panels[0].annotate(
        f"alpha = {alpha:.4g}",
        (alpha, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
    )


def _without_tokens(figure: Figure, axes: Axes) -> Figure:
    axes.set_axis_off()
    axes.text(0.5, 0.5, _NO_TOKEN, ha="center", va="center", transform=axes.transAxes)
    return figure
