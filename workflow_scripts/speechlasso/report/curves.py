"""Curves: the path of alphas, learning, and scores over sizes and over settings."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.blocks import Figure, Group, Section, slug
from speechlasso.report.evidence import Evidence
from speechlasso.report.figures import score_figure, sweep_figure, swept_scores
from speechlasso.report.learning_figures import learning_figure, size_figure
from speechlasso.selection.figures import path_figure


def curve_sections(evidence: Evidence) -> list[Section]:
    blocks = [*_paths(evidence), *_sizes(evidence), *_layers(evidence), *_sweeps(evidence)]
    blocks += _learning(evidence)
    return [Section("Curves", blocks)]


def _paths(evidence: Evidence) -> Iterator[Group]:
    figures = [
        Figure.of(
            f"path-{number}-{slug(described.arm)}",
            f"Path of alphas of {described.arm}, fold {described.fold}",
            _flat(described.path),
            path_figure,
            described.path,
            described.alpha,
            caption=f"{described.arm}, fold {described.fold}.",
        )
        for number, described in enumerate(evidence.selections, start=1)
        if described.path is not None
    ]
    if figures:
        yield Group("Size of the selection and score over alpha", figures)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Without columns that hold lists, and without what differs from run to run."""
    is_list = [name for name in table if table[name].map(np.ndim).any()]
    return table.drop(columns=[*is_list, "seconds"], errors="ignore")


def _sizes(evidence: Evidence) -> Iterator[Group]:
    """Where arms keep different numbers of tokens."""
    sizes = evidence.test.groupby("arm", sort=False)["n_audio_tokens"].mean()
    scores = evidence.summary[evidence.summary["metric"].isin(evidence.drawn_scores)]
    scores = scores[scores["arm"].isin(evidence.shown)]
    scores = scores.assign(n_audio_tokens=scores["arm"].map(sizes))
    if scores["n_audio_tokens"].nunique() < 3:
        return
    family = scores["arm"].str.replace(r"\[.*\]$", "", regex=True)
    data = scores.assign(family=family).sort_values("n_audio_tokens", kind="stable")
    data = data[["family", "arm", "metric", "n_audio_tokens", "mean", "ci_low", "ci_high"]]
    title = "Test scores over the number of audio tokens"
    caption = "Arms that one setting makes several of are joined; 0 is text alone."
    yield Group(
        "Scores over the number of audio tokens",
        [
            Figure.of(
                "audio-tokens",
                title,
                data,
                size_figure,
                evidence.drawn_scores,
                data,
                caption=caption,
            )
        ],
    )


def _layers(evidence: Evidence) -> Iterator[Group]:
    """Where arms choose their tokens from different codec layers."""
    of_arm = {arm: evidence.codec_layers.get(arm) for arm in evidence.shown}
    of_arm = dict(sorted(((arm, of) for arm, of in of_arm.items() if of), key=itemgetter(1)))
    if len(set(of_arm.values())) < 2:
        return
    names = {arm: f"{layers}: {arm}" for arm, layers in of_arm.items()}
    scores = evidence.summary[evidence.summary["metric"].isin(evidence.drawn_scores)]
    of_layers = scores.set_index("arm").loc[[*names]].reset_index()
    data = of_layers.assign(codec_layers=of_layers["arm"].map(of_arm))
    runs = evidence.test[evidence.test["arm"].isin(names)]
    figure = Figure.of(
        "codec-layers",
        "Test scores over codec layers",
        data[["codec_layers", "arm", "metric", "mean", "ci_low", "ci_high"]],
        score_figure,
        evidence.drawn_scores,
        of_layers.assign(arm=of_layers["arm"].map(names)),
        runs.assign(arm=runs["arm"].map(names)),
        caption="The codec layers that tokens are chosen from (0 is the first), and the arm.",
    )
    yield Group("Scores over codec layers", [figure])


def _sweeps(evidence: Evidence) -> Iterator[Group]:
    for key, rows in swept_scores(evidence.summary).items():
        rows = rows[rows["arm"].isin(evidence.shown)]
        data = rows.loc[
            rows["metric"].isin(evidence.drawn_scores),
            ["family", "value", "metric", "mean", "ci_low", "ci_high"],
        ]
        name = f"over-{slug(key)}"
        figure = Figure.of(
            name,
            f"Test scores over {key}",
            data,
            sweep_figure,
            key,
            rows,
            evidence.drawn_scores,
            caption="Test split; a line for each arm that ran once for each value.",
        )
        yield Group(f"Scores over {key}", [figure])


def _learning(evidence: Evidence) -> Iterator[Group]:
    metric = evidence.metric
    logs = {arm: logs for arm, logs in evidence.training_logs.items() if arm in evidence.shown}
    columns = ["epoch", "train_loss", metric, "best"]
    curves = [
        log[log.columns.intersection(columns)].assign(arm=arm, run=number)
        for arm, of_arm in logs.items()
        for number, log in enumerate(of_arm, start=1)
        if set(columns[:3]) <= set(log)
    ]
    if not curves:
        return
    data = pd.concat(curves)
    data = data[[name for name in ("arm", "run", *columns) if name in data]]
    title = "Training loss and validation score over epochs"
    caption = (
        "Lines with markers: means over the arm's runs, as far as all of them go; thin lines: "
        "single runs."
    )
    figure: Any = Figure.of("learning", title, data, learning_figure, metric, data, caption=caption)
    yield Group("Learning", [figure])
