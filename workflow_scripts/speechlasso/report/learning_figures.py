"""Figures of learning, and of scores over the size of the selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from speechlasso.evaluation.cards import METRICS, title_of
from speechlasso.figures import plain_text, short, styles, svg
from speechlasso.report.figures import have_one_scale

_MOST_THIN_LINES = 60
_RING = {"markersize": 9, "markerfacecolor": "none"}


@plain_text()
def learning_figure(metric: str, curves: pd.DataFrame) -> str:
    """Training loss and a validation score over the epochs of each arm.

    Parameters
    ----------
    curves
        Columns arm, run, epoch, train_loss, the metric, and maybe best, the epoch that was kept.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    names = {"train_loss": "training loss", metric: f"validation {title_of(metric)}"}
    are_few = len(curves.groupby(["arm", "run"])) <= _MOST_THIN_LINES
    for axes, (column, name) in zip(panels, names.items(), strict=True):
        for style, (arm, of_arm) in zip(styles(), curves.groupby("arm", sort=False), strict=False):
            runs = of_arm.pivot_table(index="epoch", columns="run", values=column)
            if are_few:
                axes.plot(runs, color=style["color"], linewidth=0.8, alpha=0.35)
                kept = _kept(of_arm)
                axes.plot(kept["epoch"], kept[column], "o", color=style["color"], **_RING)
            axes.plot(_mean(runs), label=short(str(arm)), markersize=4, **style)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", alpha=0.25)
    _legend_of(figure, panels[0])
    return svg(figure, _words_of_learning(metric, curves, are_few))


def _mean(runs: pd.DataFrame) -> pd.Series:
    """As far as all runs go: where one has stopped, the others' mean would jump."""
    return runs.dropna().mean(axis=1)


def _kept(curves: pd.DataFrame) -> pd.DataFrame:
    return curves[curves["best"].eq(True)] if "best" in curves else curves.head(0)


def _words_of_learning(metric: str, curves: pd.DataFrame, are_few: bool) -> str:
    words = "Rings: the epochs that were kept." if are_few and len(_kept(curves)) else ""
    means = {
        (arm, epoch): score
        for arm, of_arm in curves.groupby("arm", sort=False)
        for epoch, score in _mean(of_arm.pivot_table(metric, "epoch", "run")).items()
    }
    if not means:
        return words
    best = (max if METRICS[metric].larger_is_better else min)(means, key=means.get)
    found = f"Best mean {title_of(metric)}: {means[best]:.3f}, {short(str(best[0]))}"
    return f"{words} {found}, epoch {best[1]}.".strip()


@plain_text()
def size_figure(metrics: Sequence[str], scores: pd.DataFrame) -> str:
    """Two metrics over the number of kept audio tokens, a line for each family of arms.

    Parameters
    ----------
    scores
        Columns family, metric, n_audio_tokens, mean, ci_low, ci_high, in the order of the numbers.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=have_one_scale(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        of_metric = scores[scores["metric"] == metric]
        families = of_metric.groupby("family", sort=False)
        for style, (family, rows) in zip(styles(), families, strict=False):
            low, high = rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]
            ends = np.nan_to_num(np.stack([low, high])).clip(0)
            axes.errorbar(
                rows["n_audio_tokens"],
                rows["mean"],
                ends,
                capsize=3,
                linestyle="-",
                label=short(str(family)),
                **style,
            )
        # Numbers mostly go up by factors, from 0 on.
        axes.set_xscale("symlog", linthresh=10)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="audio tokens", ylabel=title_of(metric))
        axes.grid(axis="y", alpha=0.25)
    _legend_of(figure, panels[0])
    return svg(figure)


def _legend_of(figure: Figure, axes: Axes) -> None:
    lines = axes.get_legend_handles_labels()
    figure.legend(*lines, loc="outside right upper", fontsize="small")
