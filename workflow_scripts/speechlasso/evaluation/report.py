"""The report: one self-contained page with the tables and figures of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from speechlasso.evaluation.cards import METRICS
from speechlasso.evaluation.costs import arm_costs, readable
from speechlasso.evaluation.environments import differences
from speechlasso.evaluation.report_figures import (
    confusion_figure,
    cost_figure,
    selection_figure,
    selection_table,
    sweep_figure,
    swept_scores,
)
from speechlasso.evaluation.summary import RunResult, chosen_on_inner_folds, with_interval
from speechlasso.figures import figure_or_sentence, plain_text, short, svg
from speechlasso.pages import html_table as _html
from speechlasso.pages import render_page

MAIN = "macro_f1"
"""The score that stands first and says which arms are drawn."""
MOST_ARMS = 30
_BLUE = "#2f6fab"


def render_report(
    experiment: str,
    runs: pd.DataFrame,
    summary: pd.DataFrame,
    results: Sequence[RunResult],
    transductive_arms: Sequence[str] = (),
    anchor_bias: pd.DataFrame | None = None,
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
    anchor_bias
        As `anchor_bias.bias_by_arm` makes it, if any arm has one.
    """
    by_arm: dict[str, list[RunResult]] = {}
    for result in results:
        by_arm.setdefault(result.arm, []).append(result)
    with_audio = {arm: of_arm for arm, of_arm in by_arm.items() if of_arm[0].selection}
    shown = _arms_in_figures(summary)
    drawn = {arm: of_arm for arm, of_arm in with_audio.items() if arm in shown}
    test = runs[runs["split"] == "test"]
    costs = _costs_in_figure(test, shown)
    return render_page(
        "report.html",
        experiment=experiment,
        n_runs=len(results),
        n_folds=runs["fold"].nunique(),
        n_seeds=runs["seed"].nunique(),
        arms=list(by_arm),
        arm_table=_html(arm_table(summary, test)),
        intervals=_intervals(summary),
        score_figure=figure_or_sentence(score_figure, summary[summary["arm"].isin(shown)]),
        cost_figure=figure_or_sentence(cost_figure, MAIN, summary, costs) if len(costs) else None,
        sweep_figures={
            key: figure_or_sentence(sweep_figure, key, swept)
            for key, swept in swept_scores(summary).items()
        },
        identical_arms=_identical_arms(summary),
        transductive_arms=transductive_arms,
        chosen_on=chosen_on_inner_folds(summary),
        environments=differences(
            {arm: [result.environment for result in of_arm] for arm, of_arm in by_arm.items()}
        ),
        n_arms=summary["arm"].nunique(),
        n_shown=len(shown),
        confusion_figures=[
            figure_or_sentence(confusion_figure, arm, of_arm)
            for arm, of_arm in by_arm.items()
            if arm in shown
        ],
        selection_figure=figure_or_sentence(selection_figure, drawn) if drawn else None,
        selection_table=_html(selection_table(with_audio)) if with_audio else None,
        anchor_bias=None if anchor_bias is None else _html(anchor_bias),
        run_table=_html(run_table(test)),
    )


def arm_table(summary: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: mean and interval of each score that narrow tables show, folds, the spread
    over seeds, size of the audio vocabulary, share cut, and what a run costs."""
    rows = []
    for arm, of_arm in summary.groupby("arm", sort=False):
        of_arm = of_arm.set_index("metric")
        row = {"arm": arm}
        for score in sorted(METRICS, key=lambda name: name != MAIN):
            if score in of_arm.index and METRICS[score].in_narrow_tables:
                row[score] = with_interval(*of_arm.loc[score, ["mean", "ci_low", "ci_high"]])
        arm_runs = test[test["arm"] == arm]
        row["folds"] = of_arm["n"].max()
        row |= _spread_over_seeds(of_arm)
        row["audio vocabulary"] = f"{arm_runs['n_audio_tokens'].mean():.0f}"
        row["audio tokens per example"] = f"{arm_runs['mean_audio_tokens'].mean():.1f}"
        row["examples cut"] = f"{arm_runs['cut_share'].mean():.1%}"
        rows.append(row)
    return pd.DataFrame(rows).join(readable(arm_costs(test)), on="arm")


def run_table(test: pd.DataFrame) -> pd.DataFrame:
    """The runs' test rows, without columns in which nothing was measured."""
    measured = test.drop(columns="split").replace("", np.nan).dropna(axis="columns", how="all")
    return measured.round(4)


@plain_text()
def score_figure(summary: pd.DataFrame) -> str:
    """Bars of macro-F1 and UAR per arm, with their 95 % intervals."""
    arms = list(summary["arm"].unique())
    figure = Figure(figsize=(8, 0.6 + 0.5 * len(arms)), layout="constrained")
    positions = np.arange(len(arms))[::-1]
    for axes, score in zip(figure.subplots(1, 2, sharey=True), ("macro_f1", "uar"), strict=True):
        rows = summary[summary["metric"] == score].set_index("arm").loc[arms]
        ends = np.stack([rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]])
        axes.barh(
            positions, rows["mean"], xerr=np.nan_to_num(ends), color=_BLUE, alpha=0.8, capsize=3
        )
        axes.set(xlim=(0, 1), xlabel=score, yticks=positions)
        axes.set_yticklabels([short(arm) for arm in arms])
        axes.spines[["top", "right"]].set_visible(False)
    return svg(figure)


def _arms_in_figures(summary: pd.DataFrame) -> list[str]:
    """All arms, or those with the best scores where they are too many to be drawn."""
    scores = summary[summary["metric"] == MAIN]
    best = set(scores.nlargest(MOST_ARMS, "mean")["arm"])
    return [arm for arm in scores["arm"] if arm in best]


def _costs_in_figure(test: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    """Of arms whose own runs were measured; one that validation chose has those of its choices."""
    measured = arm_costs(test[test["chosen"] == ""]).dropna(subset="train_seconds")
    return measured[measured.index.isin(shown)]


def _identical_arms(summary: pd.DataFrame) -> list[str]:
    """Arms whose seeds give the same probabilities."""
    of_probabilities = [card.name for card in METRICS.cards() if card.needs_probabilities]
    scores = summary[summary["metric"].isin(of_probabilities)]
    largest = scores.groupby("arm", sort=False)["seed_sd"].max()
    return largest.index[largest < 1e-12].tolist()


def _intervals(summary: pd.DataFrame) -> str:
    """How the intervals were made, for people; empty where there are none."""
    return ", ".join(name for name in summary["interval"].dropna().unique() if name)


def _spread_over_seeds(of_arm: pd.DataFrame) -> dict[str, Any]:
    """The seeds of a fold and the standard deviation of the main score over them."""
    spread = of_arm.loc[MAIN, "seed_sd"]
    shown = "" if pd.isna(spread) else f"{spread:.3f}"
    return {"seeds": of_arm["n_seeds"].max(), f"{MAIN}, sd over seeds": shown}
