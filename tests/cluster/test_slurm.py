"""The shipped profile on a real Slurm: the same results as on a workstation, also after a kill."""

from __future__ import annotations

import subprocess
import time

import pandas as pd
import pytest

from tests.workflow.conftest import REPOSITORY

LONGEST_WAIT = 300  # seconds
# One node that keeps no accounts, and little patience.
HERE = [
    *("--profile", str(REPOSITORY / "profiles/slurm")),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"),
    *("--latency-wait", "10"),
]
RESULTS = [
    *("select_tokens/*/selection.json", "token_texts/*/token_texts.parquet"),
    *("finetune/*/model.safetensors", "*/*/predictions.parquet", "evaluate/*/metrics.json"),
    "experiments/tiny/summary.csv",
]


def jobs(slurm):
    """All jobs since the start: number, state, rule with wildcards, memory asked for, minutes."""
    asked = ["squeue", "--states=all", "--noheader", "--format=%i|%T|%k|%m|%l"]
    listed = subprocess.run(asked, env=slurm, capture_output=True, text=True, check=True).stdout
    columns = ["id", "state", "rule", "memory", "time"]
    return pd.DataFrame([line.split("|") for line in listed.splitlines()], columns=columns)


def cancel_first(rule, slurm, process):
    """Cancel the first job of a rule once it runs, as a cluster does that takes a node away."""
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < LONGEST_WAIT:
        known = jobs(slurm)
        found = known[known["rule"].str.contains(rule) & (known["state"] == "RUNNING")]
        if len(found):
            subprocess.run(["scancel", found["id"].iloc[0]], env=slurm, check=True)
            return found.iloc[0]
        time.sleep(0.5)
    return None


@pytest.mark.slow
def test_a_run_through_slurm_gives_what_a_workstation_gives(slurm, finished, workspace):
    log = workspace.folder / "snakemake.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            workspace.command("--configfile", "tiny.yaml", *HERE),
            cwd=workspace.folder,
            env=slurm | {"HF_HUB_OFFLINE": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        cancelled = cancel_first("rule_fit_tokenizer", slurm, process)
        assert process.wait() == 0, log.read_text()
    known = jobs(slurm)
    again = known[known["rule"] == cancelled["rule"]].astype({"id": int}).sort_values("id")
    assert again["state"].tolist() == ["CANCELLED", "COMPLETED"]
    assert again["memory"].tolist() == ["4000M", "8000M"]
    for pattern in RESULTS:
        theirs = sorted((finished.folder / "results").glob(pattern))
        assert theirs
        for path in theirs:
            ours = workspace.folder / path.relative_to(finished.folder)
            assert ours.read_bytes() == path.read_bytes(), path
