"""Confusion and selections of the arms: as tables in full, as figures of bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from speechlasso.evaluation.summary import RunResult, confusion_table
from speechlasso.figures import plain_text, short, svg

MOST_CLASSES = 20
MOST_NUMBERS = 600
"""Cells of a figure that have their number written in them."""


@plain_text()
def confusion_figure(arm: str, results: Sequence[RunResult]) -> str:
    """Confusion matrix of an arm's test examples, summed over its runs.

    Folds may differ in the classes their training rows have; of all of them the matrix covers those
    with most errors. Shades are shares of all test examples of the class.
    """
    table = confusion_table(results)
    total = table.pivot_table(
        index="label", columns="predicted", values="count", aggfunc="sum", fill_value=0
    )
    classes = sorted({name for result in results for name in result.metrics["classes"]})
    total = total.reindex(index=classes, columns=classes, fill_value=0)
    shown = _most_confused(total)
    shares = total.div(total.sum(axis=1).clip(lower=1), axis=0)
    title = short(arm)
    if len(shown) < len(classes):
        title += f"\n{len(shown)} of {len(classes)} classes, those with most errors"
    counts = total.loc[shown, shown]
    return _matrix(counts, shares.loc[shown, shown].to_numpy(), title)


@plain_text()
def selection_figure(results: dict[str, list[RunResult]]) -> str:
    """Kept tokens per arm (rows) and codec layer (columns)."""
    counts = selection_table(results).set_index("arm").drop(columns="all layers")
    counts = counts.rename(columns=lambda layer: layer.removeprefix("layer "))
    values = counts.to_numpy(dtype=float)
    return _matrix(counts, values / (values.max(initial=0) or 1), xlabel="codec layer")


def selection_table(results: dict[str, list[RunResult]]) -> pd.DataFrame:
    """Mean number of kept tokens per arm and codec layer."""
    rows = []
    for arm, of_arm in results.items():
        counts = [Counter(t["layer"] for t in r.selection["tokens"]) for r in of_arm]
        total = sum(counts, Counter())
        rows.append({"arm": arm, **{layer: n / len(of_arm) for layer, n in total.items()}})
    table = pd.DataFrame(rows).set_index("arm").fillna(0)
    table = table[sorted(table.columns)].rename(columns=lambda layer: f"layer {layer}")
    return table.assign(**{"all layers": table.sum(axis=1)}).round(1).reset_index()


def _most_confused(total: pd.DataFrame) -> list[str]:
    """The classes missed or named wrongly most often, in the order they stand in."""
    errors = total.sum(axis=0) + total.sum(axis=1) - 2 * np.diag(total)
    most = errors.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES]
    return [name for name in total.index if name in set(most)]


def _matrix(numbers: pd.DataFrame, shades: np.ndarray, title: str = "", xlabel: str = "") -> str:
    """A matrix of numbers in shades from 0 to 1, its names beside it."""
    rows, columns = ([short(str(name)) for name in names] for names in numbers.axes)
    # A name takes about 0.08 inches a character.
    margins = [0.6 + 0.08 * max(map(len, names), default=0) for names in (rows, columns)]
    size = margins[0] + 0.55 * max(len(columns), 2), margins[1] + 0.4 * len(rows) + 0.5
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shades, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    if numbers.size <= MOST_NUMBERS:
        for (row, column), number in np.ndenumerate(numbers.to_numpy()):
            colour = "white" if shades[row, column] > 0.5 else "black"
            axes.text(column, row, f"{number:g}", ha="center", va="center", color=colour)
    axes.set(xticks=range(len(columns)), yticks=range(len(rows)), yticklabels=rows, xlabel=xlabel)
    axes.set_xticklabels(columns, rotation=45, ha="right")
    axes.set_title(title, fontsize=10)
    return svg(figure)
