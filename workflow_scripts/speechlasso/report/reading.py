"""Reads what the report shows, of what its rule declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from speechlasso.evaluation.anchor_bias import bias_by_arm
from speechlasso.evaluation.summary import RunResult, best_first, read_run, read_table
from speechlasso.files import read_json, read_parquet
from speechlasso.report.evidence import DescribedSelection, Evidence

MOST_SELECTIONS = 3
_TABLES = ("verdicts", "audio_effect", "errors", "errors_by_group", "groups")


def read_evidence(
    experiment: str,
    files: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    described: Sequence[Mapping[str, str]] = (),
    training_logs: Mapping[str, Sequence[str]] | None = None,
    anchor_bias: Mapping[str, Sequence[str]] | None = None,
    transductive_arms: Sequence[str] = (),
    metric: str = "macro_f1",
    codec_layers: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Evidence:
    """Tables, figures' data and sounds of an experiment.

    Parameters
    ----------
    files
        runs and summary; and verdicts, audio_effect, errors, errors_by_group, groups, clips,
        provenance where there are such files.
    runs
        Arm, fold, seed and folders of each run.
    described
        For some arms, the best first or not: arm, fold, the folder of the description, and that of
        the path where the selection lies on one.
    training_logs, anchor_bias
        Files by arm.
    codec_layers, about
        As in `Evidence`.
    """
    results = [read_run(**run) for run in runs]
    summary = read_table(files["summary"])
    clips = read_parquet(files["clips"]) if files.get("clips") else None
    provenance = files.get("provenance")
    return Evidence(
        experiment=experiment,
        runs=read_table(files["runs"]),
        summary=summary,
        results=results,
        transductive_arms=transductive_arms,
        anchor_bias=bias_by_arm(anchor_bias or {}),
        clips={} if clips is None else dict(zip(clips["id"], clips["sound"], strict=True)),
        selections=list(_selections(described, best_first(summary, metric), results)),
        training_logs={
            arm: [pd.read_csv(path) for path in paths]
            for arm, paths in (training_logs or {}).items()
        },
        provenance=read_json(provenance) if provenance else None,
        metric=metric,
        codec_layers=codec_layers or {},
        about=about or {},
        **{name: read_table(files[name]) for name in _TABLES if files.get(name)},
    )


def _selections(
    described: Sequence[Mapping[str, str]], ranked: Sequence[str], results: Sequence[RunResult]
) -> Iterator[DescribedSelection]:
    """Those of the best arms, each once."""
    alphas = {
        (result.arm, result.fold): result.selection.get("alpha")
        for result in results
        if result.selection
    }
    # An arm in which the score is not defined comes last.
    places = {arm: place for place, arm in enumerate(ranked)}
    in_order = sorted(described, key=lambda one: places.get(one["arm"], len(places)))
    of_folder = {one["description"]: one for one in reversed(in_order)}
    ordered = [one for one in in_order if of_folder[one["description"]] is one]
    for one in ordered[:MOST_SELECTIONS]:
        path = one.get("path")
        yield DescribedSelection(
            arm=one["arm"],
            fold=one["fold"],
            tokens=read_parquet(f"{one['description']}/tokens.parquet"),
            listening=read_parquet(f"{one['description']}/listening.parquet"),
            path=read_parquet(f"{path}/path.parquet") if path else None,
            alpha=alphas[one["arm"], one["fold"]],
            page=f"{one['description']}/page.html",
        )
