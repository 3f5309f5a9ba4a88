"""Of results that were deleted, `plan`, `compare` and Snakemake say the same."""

from __future__ import annotations

import re
import shutil
import subprocess

import pandas as pd
import pytest

from .conftest import TABLES
from .warm_python import interpreter

PROGRAM = "from speechlasso.cli import main; raise SystemExit(main())"
STATES = {"would run", "missing, not needed"}


def speechlasso(workspace, *arguments):
    return subprocess.run(
        [interpreter(), "-c", PROGRAM, *arguments],
        cwd=workspace.folder,
        capture_output=True,
        text=True,
    )


def states(workspace, *config):
    """Rules of what is not cached, by their state, and what stands beside the table."""
    told = speechlasso(workspace, "plan", "--configfile", "tiny.yaml", *config)
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    return {state: {row[1] for row in rows if row[-1] == state} for state in STATES}, told.stderr


def files_to_name(message):
    return re.search(r"snakemake --cores all ([^(]+) \(", message)[1].split()


@pytest.fixture
def workspace(finished, tmp_path):
    return finished.copy(tmp_path / "workspace")


def test_a_deleted_intermediate(workspace):
    index = pd.read_csv(workspace.folder / "results/experiments/tiny/index.tsv", sep="\t")
    lasso = index.set_index("arm").loc["lasso"]
    shutil.rmtree(workspace.folder / lasso["bow"])

    assert workspace.planned_rules("--configfile", "tiny.yaml") == set()
    told, beside = states(workspace)
    assert told == {"would run": set(), "missing, not needed": {"build_bow"}}
    named = files_to_name(beside)
    assert workspace.planned_rules(*named, "--configfile", "tiny.yaml") == {"build_bow"}

    # What a new setting needs of it is made, and all the rest that reads it is made anew.
    other = ("--config", "select={lasso: {alpha: 0.4}}")
    told, _ = states(workspace, *other)
    planned = workspace.planned_rules("--configfile", "tiny.yaml", *other)
    assert "build_bow" in planned
    assert told["would run"] == planned - {"model_card", *TABLES}
    assert told["missing, not needed"] == set()


def test_predictions_that_compare_misses(workspace):
    index = pd.read_csv(workspace.folder / "results/experiments/tiny/index.tsv", sep="\t")
    for folder in set(index["predictions"]):
        shutil.rmtree(workspace.folder / folder)
    refused = speechlasso(workspace, "compare", "tiny")
    assert refused.returncode == 1
    named = files_to_name(refused.stderr)
    (rule,) = workspace.planned_rules(*named, "--configfile", "tiny.yaml")
    assert rule == named[0].split("/")[1]
    assert workspace.planned_rules("--configfile", "tiny.yaml") == set()
    assert states(workspace)[0]["missing, not needed"] == {"predict", "fit_linear"}
