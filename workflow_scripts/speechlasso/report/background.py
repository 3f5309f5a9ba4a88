"""The last sections: confusion, the bias towards speech, all runs, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.blocks import Figure, Group, Section, Table, Text, slug
from speechlasso.evaluation.provenance_tables import provenance_tables, unmeasured
from speechlasso.evaluation.summary import confusion_table
from speechlasso.report.evidence import Evidence
from speechlasso.report.figures import confusion_figure

ABOUT_BIAS = (
    "How often the language model follows the speech rather than the instruction that stands "
    "before it, on utterances held out from adaptation: after instruction and speech it finds the "
    "reply to the transcript alone more likely than the answer to the instruction. Before and "
    "after adaptation, and with the transcript in place of the speech."
)


def background_sections(evidence: Evidence) -> list[Section]:
    return [
        Section("Confusion", _confusion(evidence)),
        Section("Speech anchor bias", _anchor_bias(evidence)),
        Section("Runs", _runs(evidence)),
        Section("Provenance", _provenance(evidence)),
    ]


def _confusion(evidence: Evidence) -> list[Any]:
    figures = [
        Figure.of(
            f"confusion-{number}-{slug(arm)}",
            f"Confusion of {arm}",
            _counts(evidence, arm),
            confusion_figure,
            arm,
            of_arm,
        )
        for number, (arm, of_arm) in enumerate(evidence.by_arm.items(), start=1)
        if arm in evidence.shown
    ]
    words = (
        "Test examples by true class (row) and predicted class (column), summed over all runs of "
        "the arm; shades are shares of the class. confusion.csv has every run and every class."
    )
    if not figures:
        return []
    return [Text(words), Group("", figures, beside=True), _by_class(evidence)]


def _by_class(evidence: Evidence) -> Table:
    """Of each class on test rows, the mean over an arm's runs."""
    rows = [
        {"arm": arm, **of_class}
        for arm, of_arm in evidence.by_arm.items()
        if arm in evidence.shown
        for result in of_arm
        for of_class in result.metrics["splits"]["test"]["per_class"]
    ]
    scores = pd.DataFrame(rows).groupby(["arm", "class"], sort=False, as_index=False).mean()
    scores = scores.sort_values("class", kind="stable").rename(columns={"f1": "F1"})
    return Table(
        "Test scores of each class, means over the arm's runs",
        scores[["class", "arm", "precision", "recall", "F1"]],
        whole="metrics.json of each run's stage evaluate",
    )


def _counts(evidence: Evidence, arm: str) -> pd.DataFrame:
    table = confusion_table(evidence.by_arm[arm])
    return table.groupby(["label", "predicted"], as_index=False)["count"].sum()


def _anchor_bias(evidence: Evidence) -> list[Any]:
    if evidence.anchor_bias is None:
        return []
    caption = "Shares of the instructions in which the speech was followed"
    return [Text(ABOUT_BIAS), Table(caption, evidence.anchor_bias)]


def _runs(evidence: Evidence) -> list[Any]:
    words = "runs.csv holds all splits; index.tsv names the folder of every stage of every run."
    table = Table("Runs, test split", run_table(evidence.test), whole="runs.csv")
    return [Text(words, "note"), table]


def run_table(test: pd.DataFrame) -> pd.DataFrame:
    """The runs' test rows, without columns in which nothing was measured."""
    measured = test.drop(columns="split").replace("", np.nan).dropna(axis="columns", how="all")
    return measured.round(4)


def _provenance(evidence: Evidence) -> list[Any]:
    if evidence.provenance is None:
        return []
    told = unmeasured(evidence.provenance)
    tables = provenance_tables(_of_arms_that_ran(_with_clean_commit(evidence.provenance)))
    blocks: list[Any] = [Text(told, "note")] if told else []
    for title, table in tables.items():
        if len(table):
            # Long, and of use to those who repeat the experiment.
            shown = Table(title, table, whole="provenance.json")
            blocks.append(Group(title, [shown], folded=True))
    return blocks


def _with_clean_commit(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """That nothing was changed since the commit is told, too."""
    workflow = provenance["workflow"]
    if workflow["changed"] or not workflow["commit"]:
        return provenance
    commit = f"{workflow['commit']}, no uncommitted changes"
    return {**provenance, "workflow": {**workflow, "commit": commit}}


def _of_arms_that_ran(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the settings of arms that neither ran nor gave their predictions to one that did."""
    configuration = provenance["configuration"]
    arms = configuration["arms"]
    left, ran = [name.partition("[")[0] for name in provenance["design"]["arms"]], set()
    while left:
        ran.add(name := left.pop())
        left += [other for other in arms[name].get("arms", ()) if other not in ran]
    kept = {name: arm for name, arm in arms.items() if name in ran}
    return {**provenance, "configuration": {**configuration, "arms": kept}}
