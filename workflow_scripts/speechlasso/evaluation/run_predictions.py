"""What the runs of an experiment predicted, read from where its index says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.decision import Threshold
from speechlasso.evaluation.inner_folds import is_inner, validation_rows
from speechlasso.files import read_json, read_parquet
from speechlasso.integrity import require_intact


def read_predictions(run: Mapping[str, Any], root: Path) -> pd.DataFrame:
    """Predictions of one run, as `evaluation.predictions_frame` makes them.

    Parameters
    ----------
    run
        A row of index.tsv: predictions is the folder they lie in.
    root
        What the folders start from.

    Raises
    ------
    InputError
        If they are not there any more.
    """
    return read_parquet(_existing(root, run["predictions"], "predictions.parquet"))


def read_inner_validation(run: Mapping[str, Any], root: Path) -> pd.DataFrame | None:
    """Predictions of the validation rows of a run's inner folds; None where it has none."""
    inner = {
        role: [str(_existing(root, folder, "predictions.parquet"))]
        for role, folder in run.items()
        if is_inner(role)
    }
    return validation_rows(inner)


def decision_threshold(run: Mapping[str, Any], root: Path) -> Threshold | None:
    """What the run decided by; None takes the likeliest class."""
    return read_json(_existing(root, run["training"], "training.json")).get("decision_threshold")


def positive_label(run: Mapping[str, Any], root: Path) -> str | None:
    """The class that the run's positive_f1 is about."""
    return read_json(_existing(root, run["evaluation"], "spec.json"))["settings"]["positive_label"]


def modules_of_metrics(run: Mapping[str, Any], root: Path) -> list[str]:
    """Modules of the metrics from outside this project that the run was scored by."""
    spec = read_json(_existing(root, run["evaluation"], "spec.json"))
    return list(spec.get("origin", {}).get("modules", ()))


def groups_of_rows(run: Mapping[str, Any], root: Path) -> pd.Series | None:
    """The group of each utterance of the run's manifest, by id; None where groups are not known."""
    manifest = read_parquet(_existing(root, run["manifest"], "manifest.parquet"))
    return manifest.set_index("id")["group"] if "group" in manifest else None


def groups_by_manifest(
    runs: Sequence[Mapping[str, Any]], root: Path
) -> dict[str, pd.Series | None]:
    """`groups_of_rows` of each manifest that runs are of, by its folder."""
    first = {run["manifest"]: run for run in reversed(runs)}
    return {folder: groups_of_rows(run, root) for folder, run in first.items()}


def make_test_rows(
    predictions: pd.DataFrame, groups: pd.Series | None, positive: str | None
) -> TestRows:
    """The test rows among predictions, in the order of their ids."""
    rows = predictions[predictions["split"] == "test"].sort_values("id", ignore_index=True)
    of_rows = None if groups is None else groups.loc[rows["id"]].to_numpy()
    return TestRows(rows, of_rows, positive)


def read_test_rows(index: pd.DataFrame, root: Path) -> dict[tuple[str, str, str], TestRows]:
    """Test rows of every run, by arm, fold and seed (as text).

    Parameters
    ----------
    index
        As index.tsv has it.
    root
        What its folders start from.
    """
    runs = index.to_dict("records")
    groups = groups_by_manifest(runs, root)
    return {
        (run["arm"], str(run["fold"]), str(run["seed"])): make_test_rows(
            read_predictions(run, root), groups[run["manifest"]], positive_label(run, root)
        )
        for run in runs
    }


def how_to_make(path: str) -> str:
    """What to do where a file of a stage is missing: a run makes only what it finds a need of."""
    return f"snakemake --cores all {path} (then --configfile, if the experiment has one)"


def _existing(root: Path, folder: str, name: str) -> Path:
    path = root / folder / name
    if not path.is_file():
        again = how_to_make(f"{folder}/{name}")
        raise InputError(f"{path}: no such file; to make it again, in {root.resolve()}: {again}")
    require_intact([path])
    return path
