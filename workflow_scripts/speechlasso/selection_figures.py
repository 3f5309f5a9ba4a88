"""Figures of a selection, as SVG: the regularisation path and the weights of the kept tokens.

The same data give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#2f6fab", "#d9772b", "#777777"
_SIZES = {
    "n_tokens": ("kept audio tokens", _BLUE, "-"),
    "n_audio": ("audio features with weight", _BLUE, ":"),
    "n_text": ("words with weight", _ORANGE, ":"),
}
_TOKENS_PER_BAND = 60
_NO_TOKEN = "no audio token is kept"


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
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set(xscale="log", xlabel="alpha")
    if chosen_alpha is not None:
        _mark_alpha(panels, chosen_alpha)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(_SIZES))
    return _svg(figure)


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
        return _svg(_without_tokens(figure, axes))
    for place, layer in enumerate(layers):
        weights = np.sort(tokens.loc[tokens["layer"] == layer, "weight"])
        # Multiples of the golden ratio spread neighbours evenly, and need no random numbers.
        spread = (np.arange(len(weights)) * 0.6180339887 + 0.5) % 1 - 0.5
        axes.plot(place + 0.6 * spread, weights, "o", color=_BLUE, alpha=0.6, markersize=4)
    names = [f"layer {layer}\n{(tokens['layer'] == layer).sum()} kept" for layer in layers]
    axes.set(xticks=range(len(layers)), xticklabels=names, ylabel="weight")
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=(min(0, tokens["weight"].min()), None))
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def class_weight_figure(tokens: pd.DataFrame) -> str:
    """Heat map of weights: kept audio tokens by class, in bands where they are many.

    Parameters
    ----------
    tokens
        Columns layer, code and weight_<class> for each class, as `token_evidence` makes them.
    """
    tokens = tokens.sort_values(["layer", "code"])
    names = [name for name in tokens if name.startswith("weight_")]
    weights = tokens[names].to_numpy().T
    labels = [
        f"{layer}:{code}" for layer, code in zip(tokens["layer"], tokens["code"], strict=True)
    ]
    width = min(max(len(tokens), 1), _TOKENS_PER_BAND)
    starts = range(0, max(len(tokens), 1), _TOKENS_PER_BAND)
    size = (2.5 + 0.16 * width, 0.6 + len(starts) * (0.6 + 0.25 * max(len(names), 1)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(starts), 1, squeeze=False)[:, 0]
    if tokens.empty:
        return _svg(_without_tokens(figure, panels[0]))
    limit = np.abs(weights).max() or 1.0
    for axes, start in zip(panels, starts, strict=True):
        part = slice(start, start + _TOKENS_PER_BAND)
        band = weights[:, part]
        image = axes.imshow(band, vmin=-limit, vmax=limit, cmap="RdBu_r", aspect="auto")
        axes.set(xlim=(-0.5, width - 0.5), yticks=range(len(names)))
        axes.set_yticklabels([name.removeprefix("weight_") for name in names])
        axes.set_xticks(range(band.shape[1]), labels[part], rotation=90, fontsize=7)
        axes.spines[:].set_visible(False)
    panels[-1].set_xlabel("layer:code")
    figure.colorbar(image, ax=list(panels), label="weight")
    return _svg(figure)


def _draw_scores(axes: Axes, table: pd.DataFrame, score: str) -> None:
    axes.plot(table["alpha"], table[score], color=_BLUE)
    if score == "mean":
        low = table["mean"] - table["standard_error"]
        high = table["mean"] + table["standard_error"]
        axes.fill_between(table["alpha"], low, high, color=_BLUE, alpha=0.2, linewidth=0)
        axes.set_ylabel("cross-validated score")
    else:
        axes.set_ylabel(f"held-out {score.removeprefix('holdout_')}")


def _mark_alpha(panels: Sequence[Axes], alpha: float) -> None:
    for axes in panels:
        axes.axvline(alpha, color=_GREY, linestyle="--", linewidth=1)
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


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    # Text stays text; fixed names and no date, so that the bytes repeat.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "speechlasso"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()[stream.getvalue().index("<svg") :]
