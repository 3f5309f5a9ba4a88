"""Scores, costs, confusion and selections of the arms, drawn in bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from speechlasso.evaluation.cards import METRICS, title_of
from speechlasso.evaluation.summary import RunResult, confusion_table
from speechlasso.figures import BLUE, BLUES, GREY, SHADES, plain_text, short, styles, svg

MOST_CLASSES = 20
MOST_LAYERS = 16
"""Codec layers that have their numbers of tokens written in them."""
MOST_NUMBERS = 600
"""Cells of a figure that have their number written in them."""


@plain_text()
def score_figure(
    scores: Sequence[str], summary: pd.DataFrame, runs: pd.DataFrame, reference: str | None = None
) -> str:
    """Two scores of each arm, with their 95 % intervals and the scores of single runs.

    Parameters
    ----------
    scores
        Two metrics.
    summary, runs
        As `summary.summary_table` and `summary.runs_table` make them, of the arms to be drawn and
        of test rows.
    reference
        An arm whose means are marked.
    """
    arms = list(summary["arm"].unique())
    figure = Figure(figsize=(8, 0.9 + 0.38 * len(arms)), layout="constrained")
    for axes, score in zip(figure.subplots(1, 2, sharey=True), scores, strict=True):
        rows = summary[summary["metric"] == score].set_index("arm").loc[arms]
        places = np.arange(len(arms))
        if reference in arms:
            axes.axvline(rows.loc[reference, "mean"], color=GREY, linestyle="--", linewidth=1)
        of_runs = runs.set_index("arm")[score].dropna()
        # Runs of equal scores stand beside each other.
        heights = rows.index.get_indexer(of_runs.index) + 0.22
        axes.plot(of_runs, heights, ".", color=GREY, markersize=5, alpha=0.7)
        axes.errorbar(
            rows["mean"], places, xerr=_ends(rows), fmt="o", color=BLUE, capsize=3, markersize=6
        )
        axes.set(xlabel=title_of(score), yticks=places, ylim=(len(arms) - 0.4, -0.6))
        axes.set_yticklabels([short(arm) for arm in arms])
        axes.grid(axis="x", alpha=0.25)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    return svg(figure)


def _ends(rows: pd.DataFrame) -> np.ndarray:
    """How far the ends of intervals lie below and above the means; 0 where there are none."""
    return np.nan_to_num(
        np.stack([rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]])
    ).clip(0)


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
    shades = shares.loc[shown, shown].to_numpy()
    return _matrix(counts, shades, title, words=_words_of_confusion(total))


def _words_of_confusion(total: pd.DataFrame) -> str:
    counts = total.to_numpy()
    words = f"{np.trace(counts)} of {counts.sum()} are right"
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"{words}."
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    label, predicted = short(str(total.index[row])), short(str(total.columns[column]))
    error = f"{label} taken for {predicted}, {wrong.max()} of {counts[row].sum()}"
    return f"{words}; the most frequent error: {error}."


def swept_scores(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Scores of the arms `NAME[KEY=VALUE]` by key, with the columns family (NAME) and value.

    Keys of which no arm has two values are left out.
    """
    parts = summary["arm"].str.extract(r"^(?P<family>.*)\[(?P<key>\w+)=(?P<value>[^=,\]]+)\]$")
    swept = summary.join(parts.assign(value=pd.to_numeric(parts["value"], errors="coerce")))
    swept = swept.dropna(subset="value").sort_values("value", kind="stable")
    by_key = {str(key): rows for key, rows in swept.groupby("key")}
    return {
        key: rows
        for key, rows in by_key.items()
        if (rows.groupby("family")["value"].nunique() > 1).any()
    }


@plain_text()
def sweep_figure(key: str, swept: pd.DataFrame, scores: Sequence[str] = ("macro_f1", "uar")) -> str:
    """Two scores over the values of a setting, a line per family of arms, with intervals."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=have_one_scale(scores))
    for axes, score in zip(panels, scores, strict=True):
        style = styles()
        for family, rows in swept[swept["metric"] == score].groupby("family", sort=False):
            axes.errorbar(
                rows["value"],
                rows["mean"],
                _ends(rows),
                linestyle="-",
                capsize=3,
                label=short(family),
                **next(style),
            )
        # Values of a setting mostly go up by factors, maybe from 0 on.
        smallest = swept.loc[swept["value"] > 0, "value"].min()
        axes.set_xscale("symlog", linthresh=smallest)
        values = sorted(swept["value"].unique())
        axes.set(xlabel=key, ylabel=title_of(score))
        axes.set_xticks(values, [f"{v:g}" for v in values])
        axes.minorticks_off()
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small"
    )
    return svg(figure)


@plain_text()
def cost_figure(metric: str, summary: pd.DataFrame, costs: pd.DataFrame) -> str:
    """A score with its interval over the time that arms take to train and the length they read.
    Of each cost the Pareto front is joined.

    Parameters
    ----------
    summary
        As `summary.summary_table` makes it.
    costs
        Of the arms to be drawn, as `costs.arm_costs` makes them, train_seconds of all of them.
    """
    scores = summary[summary["metric"] == metric].set_index("arm").loc[costs.index]
    seconds = costs["train_seconds"] + costs["adapt_seconds"].fillna(0)
    panels = {"seconds of training and adaptation": seconds}
    if costs["mean_sequence_length"].notna().any():
        panels["sequence length"] = costs["mean_sequence_length"]
    figure = Figure(figsize=(9, 3.2 + 0.1 * len(costs)), layout="constrained")
    columns = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, cost) in zip(columns, panels.items(), strict=True):
        _scores_over(axes, cost, scores, METRICS[metric].larger_is_better)
        axes.set(xlabel=name)
    columns[0].set(ylabel=title_of(metric))
    figure.legend(
        *columns[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small"
    )
    return svg(figure, _words_of_lengths(costs["mean_sequence_length"]))


def _words_of_lengths(lengths: pd.Series) -> str:
    if lengths.isna().all():
        return ""
    words = "On the right the sequence length takes the place of time, on a logarithmic scale too"
    without = ", ".join(short(arm) for arm in lengths.index[lengths.isna()])
    return f"{words}; without one, and so not there: {without}." if without else f"{words}."


def _scores_over(axes: Axes, cost: pd.Series, scores: pd.DataFrame, larger_is_better: bool) -> None:
    """A point with its interval for each arm; an arm without the cost has none."""
    front = pareto_front(cost.dropna(), scores["mean"], larger_is_better)
    axes.plot(cost[front], scores.loc[front, "mean"], color=GREY, linewidth=1, zorder=0)
    for arm, style in zip(scores.index, styles(), strict=False):
        mean, ends = scores.loc[arm, "mean"], _ends(scores.loc[[arm]])
        axes.errorbar(cost[arm], mean, ends, capsize=3, linestyle="", label=short(arm), **style)
    axes.set_xscale("log")
    is_wide = cost.max() > 100 * cost.min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if is_wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def have_one_scale(scores: Sequence[str]) -> bool:
    """Whether metrics can share an axis: they have the same bounds."""
    return len({METRICS[score].bounds for score in scores}) == 1


def pareto_front(cost: pd.Series, score: pd.Series, larger_is_better: bool = True) -> list[str]:
    """The arms that no other one beats for the same cost or less, the cheapest first.

    Parameters
    ----------
    cost
        By arm.
    score
        By arm; of these arms and maybe others.
    """
    gains = score if larger_is_better else -score
    scores = pd.DataFrame({"cost": cost, "score": gains.reindex(cost.index)}).dropna()
    ordered = scores.sort_values(["cost", "score"], ascending=[True, False], kind="stable")
    best_before = ordered["score"].cummax().shift(fill_value=-np.inf)
    return ordered.index[ordered["score"] > best_before].tolist()


@plain_text()
def group_figure(metric: str, column: str, groups: pd.DataFrame) -> str:
    """A score of each arm in each group of test rows: the largest groups, at most `MOST_CLASSES`.

    Parameters
    ----------
    groups
        Columns arm, value, n, and the metric.
    """
    sizes = groups.groupby("value", sort=False)["n"].max()
    values = sizes.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES]
    values = [value for value in sizes.index if value in set(values)]
    figure = Figure(figsize=(8, 0.9 + 0.38 * len(values)), layout="constrained")
    axes = figure.subplots()
    arms = list(groups.groupby("arm", sort=False))
    for number, (style, (arm, rows)) in enumerate(zip(styles(), arms, strict=False)):
        scores = rows.groupby("value")[metric].mean().reindex(values)
        # Arms of equal scores stand below each other.
        shift = 0.5 * ((number + 0.5) / len(arms) - 0.5)
        places = np.arange(len(values)) + shift
        axes.plot(scores, places, linestyle="", label=short(str(arm)), **style)
    names = [f"{short(str(value))} ({sizes[value]})" for value in values]
    axes.set(xlabel=title_of(metric), yticks=range(len(values)), yticklabels=names)
    axes.set(ylim=(len(values) - 0.4, -0.6), ylabel=column)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize="small")
    return svg(figure, _words_of_groups(metric, groups[groups["value"].isin(values)], len(sizes)))


def _words_of_groups(metric: str, drawn: pd.DataFrame, n_groups: int) -> str:
    n_drawn = drawn["value"].nunique()
    which = f"the {n_drawn} largest of {n_groups} groups" if n_drawn < n_groups else "each group"
    words = f"Each arm's {title_of(metric)} in {which}, test rows in brackets"
    scores = drawn.groupby(["arm", "value"], sort=False)[metric].mean().dropna()
    if scores.empty:
        return f"{words}."
    ends = {"highest": scores.idxmax(), "lowest": scores.idxmin()}
    found = [
        f"{name} {scores[end]:.3f}, {short(str(end[0]))} in {short(str(end[1]))}"
        for name, end in ends.items()
    ]
    return f"{words}; {'; '.join(found)}."


@plain_text()
def selection_figure(results: dict[str, list[RunResult]]) -> str:
    """Kept tokens per arm (rows) and codec layer (columns)."""
    counts = _kept_tokens(results).round(1)
    values = counts.to_numpy(dtype=float)
    words = "The stronger the shade, the more tokens of the layer are kept"
    if values.size:
        arm, layer = counts.stack().idxmax()
        words += f"; at most {values.max():g}, of layer {layer} by {short(str(arm))}"
    if len(counts.columns) > MOST_LAYERS:
        return _strips(counts, f"{words}.")
    shades = values / (values.max(initial=0) or 1)
    return _matrix(counts, shades, xlabel="codec layer", words=f"{words}.")


def _strips(counts: pd.DataFrame, words: str) -> str:
    """A strip in shades for each arm, over all layers, those without a token among them."""
    counts = counts.reindex(columns=range(max(counts) + 1), fill_value=0)
    figure = Figure(figsize=(9, 1 + 0.4 * len(counts)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, vmin=0, cmap=BLUES, aspect="auto", interpolation="nearest")
    names = [short(str(arm)) for arm in counts.index]
    axes.set(xlabel="codec layer", yticks=range(len(counts)), yticklabels=names)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, label="tokens")
    return svg(figure, words)


def selection_table(results: dict[str, list[RunResult]]) -> pd.DataFrame:
    """Mean number of kept tokens per arm and codec layer; what there is more of goes down."""
    table = _kept_tokens(results).rename(columns=lambda layer: f"layer {layer}")
    table = table.assign(**{"all layers": table.sum(axis=1)}).round(1)
    if len(table.columns) <= max(MOST_LAYERS, len(table)):
        return table.reset_index()
    return table.T.rename_axis(index="codec layer", columns=None).reset_index()


def _kept_tokens(results: dict[str, list[RunResult]]) -> pd.DataFrame:
    """Mean number of kept tokens; a row per arm, a column per codec layer that has any."""
    rows = []
    for arm, of_arm in results.items():
        counts = [Counter(t["layer"] for t in r.selection["tokens"]) for r in of_arm]
        total = sum(counts, Counter())
        rows.append({"arm": arm, **{layer: n / len(of_arm) for layer, n in total.items()}})
    table = pd.DataFrame(rows).set_index("arm").fillna(0)
    return table[sorted(table.columns)]


def _most_confused(total: pd.DataFrame) -> list[str]:
    """The classes missed or named wrongly most often, in the order they stand in."""
    errors = total.sum(axis=0) + total.sum(axis=1) - 2 * np.diag(total)
    most = errors.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES]
    return [name for name in total.index if name in set(most)]


def _matrix(
    numbers: pd.DataFrame, shades: np.ndarray, title: str = "", xlabel: str = "", words: str = ""
) -> str:
    """A matrix of numbers in shades from 0 to 1, its names beside it."""
    rows, columns = ([short(str(name)) for name in names] for names in numbers.axes)
    # A name takes about 0.08 inches a character.
    margins = [0.6 + 0.08 * max(map(len, names), default=0) for names in (rows, columns)]
    size = margins[0] + 0.55 * max(len(columns), 2), margins[1] + 0.4 * len(rows) + 0.5
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shades, vmin=0, vmax=1, cmap=SHADES, aspect="auto")
    if numbers.size <= MOST_NUMBERS:
        for (row, column), number in np.ndenumerate(numbers.to_numpy()):
            axes.text(column, row, f"{number:g}", ha="center", va="center")
    axes.set(xticks=range(len(columns)), yticks=range(len(rows)), yticklabels=rows, xlabel=xlabel)
    axes.set_xticklabels(columns, rotation=45, ha="right")
    axes.set_title(title, fontsize=10)
    return svg(figure, words)
