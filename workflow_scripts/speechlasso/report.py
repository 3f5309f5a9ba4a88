"""The report: one self-contained page with the tables and figures of an experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from speechlasso.pages import html_table as _html
from speechlasso.pages import render_page, svg
from speechlasso.summary import RunResult

SCORES = ["macro_f1", "uar", "accuracy", "positive_f1", "loss"]
_BLUE = "#2f6fab"


def render_report(
    experiment: str,
    runs: pd.DataFrame,
    summary: pd.DataFrame,
    results: Sequence[RunResult],
    transductive_arms: Sequence[str] = (),
) -> str:
    """HTML with everything inside (no script, no link to another file).

    Parameters
    ----------
    runs, summary
        As `summary.runs_table` and `summary.summary_table` make them.
    results
        What the runs left behind, for confusion matrices and selections.
    transductive_arms
        Arms whose language model was adapted to validation or test rows.
    """
    from markupsafe import Markup

    by_arm: dict[str, list[RunResult]] = {}
    for result in results:
        by_arm.setdefault(result.arm, []).append(result)
    with_audio = {arm: of_arm for arm, of_arm in by_arm.items() if of_arm[0].selection}
    test = runs[runs["split"] == "test"]
    return render_page(
        "report.html",
        experiment=experiment,
        n_runs=len(results),
        n_folds=runs["fold"].nunique(),
        n_seeds=runs["seed"].nunique(),
        arms=list(by_arm),
        arm_table=Markup(_html(arm_table(summary, test))),
        score_figure=Markup(score_figure(summary)),
        identical_arms=_identical_arms(summary),
        transductive_arms=transductive_arms,
        confusion_figures=[Markup(confusion_figure(*item)) for item in by_arm.items()],
        selection_figure=Markup(selection_figure(with_audio)) if with_audio else None,
        selection_table=Markup(_html(selection_table(with_audio))) if with_audio else None,
        run_table=Markup(_html(run_table(test))),
    )


def arm_table(summary: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: mean ± sd of each score, n, size of the audio vocabulary, share cut."""
    rows = []
    for arm, of_arm in summary.groupby("arm", sort=False):
        of_arm = of_arm.set_index("metric")
        row = {"arm": arm}
        for score in SCORES:
            if score in of_arm.index:
                row[score] = _mean_and_sd(of_arm.loc[score])
        arm_runs = test[test["arm"] == arm]
        row["n"] = of_arm["n"].max()
        row["audio vocabulary"] = f"{arm_runs['n_audio_tokens'].mean():.0f}"
        row["audio tokens per example"] = f"{arm_runs['mean_audio_tokens'].mean():.1f}"
        row["examples cut"] = f"{arm_runs['cut_share'].mean():.1%}"
        rows.append(row)
    return pd.DataFrame(rows)


def run_table(test: pd.DataFrame) -> pd.DataFrame:
    """The runs' test rows, without columns in which nothing was measured."""
    return test.drop(columns="split").dropna(axis="columns", how="all").round(4)


def score_figure(summary: pd.DataFrame) -> str:
    """Bars of macro-F1 and UAR per arm, with the mean's 95 % interval."""
    arms = list(summary["arm"].unique())
    figure = Figure(figsize=(8, 0.6 + 0.5 * len(arms)), layout="constrained")
    positions = np.arange(len(arms))[::-1]
    for axes, score in zip(figure.subplots(1, 2, sharey=True), ("macro_f1", "uar"), strict=True):
        rows = summary[summary["metric"] == score].set_index("arm").loc[arms]
        margin = (rows["ci_high"] - rows["mean"]).fillna(0)
        axes.barh(positions, rows["mean"], xerr=margin, color=_BLUE, alpha=0.8, capsize=3)
        axes.set(xlim=(0, 1), xlabel=score, yticks=positions, yticklabels=arms)
        axes.spines[["top", "right"]].set_visible(False)
    return svg(figure)


def confusion_figure(arm: str, results: Sequence[RunResult]) -> str:
    """Confusion matrix of an arm's test examples, summed over its runs.

    Folds may differ in the classes their training rows have; the matrix covers all of them.
    """
    classes = sorted({name for result in results for name in result.metrics["classes"]})
    total = pd.DataFrame(0, index=classes, columns=classes)
    for result in results:
        names = result.metrics["classes"]
        counts = result.metrics["splits"]["test"]["confusion"]
        total = total.add(pd.DataFrame(counts, index=names, columns=names), fill_value=0)
    counts = total.loc[classes, classes].to_numpy(dtype=int)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.6 + 0.55 * len(classes)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    ticks = range(len(classes))
    axes.set(title=arm, xticks=ticks, yticks=ticks, yticklabels=classes)
    axes.set_xticklabels(classes, rotation=45, ha="right")
    return svg(figure)


def selection_figure(results: dict[str, list[RunResult]]) -> str:
    """Kept tokens per codec layer, one group of bars per layer."""
    table = selection_table(results).set_index("arm").drop(columns="all layers").astype(float)
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(table)
    for position, (arm, counts) in enumerate(table.iterrows()):
        places = np.arange(len(counts)) + (position - (len(table) - 1) / 2) * width
        axes.bar(places, counts, width, label=arm)
    axes.set(ylabel="kept tokens", xticks=range(table.shape[1]), xticklabels=table.columns)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper left", ncols=len(table))
    return svg(figure)


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


def _identical_arms(summary: pd.DataFrame) -> list[str]:
    loss = summary[(summary["metric"] == "loss") & (summary["n"] > 1)]
    return loss.loc[loss["sd"] < 1e-12, "arm"].tolist()


def _mean_and_sd(row: Any) -> str:
    return f"{row['mean']:.3f}" + ("" if pd.isna(row["sd"]) else f" ± {row['sd']:.3f}")
