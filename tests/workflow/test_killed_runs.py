"""A run killed at any moment and started again ends as others do, and leaves nothing else."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import save_file

from .conftest import ENVIRONMENT
from .same_results import differing_files

KILLS = int(os.environ.get("KILLS", "6"))
LATEST = 4.0  # seconds
ON_ONE_CORE = ("--configfile", "tiny.yaml", "--cores", "1")


def moments(n_jobs):
    """When to kill each start of the run: so many seconds after so many of its jobs are done.

    Every other one counts from the start, and so falls into the planning, or soon after it.
    """
    drawn = random.Random(1)
    for jobs in sorted(drawn.choices(range(n_jobs - 2), k=KILLS // 2)):
        yield jobs, drawn.uniform(0, LATEST)
        yield 0, drawn.uniform(0, LATEST)


def jobs_done(folder):
    return sum(1 for _ in (folder / "benchmarks").rglob("*.tsv"))


def kill_at(workspace, jobs, seconds):
    """Start the experiment and kill it with all its jobs; False if it ended before."""
    process = subprocess.Popen(
        workspace.command(*ON_ONE_CORE),
        cwd=workspace.folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while jobs_done(workspace.folder) < jobs and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    is_running = process.poll() is None
    if is_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return is_running


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_at_random_moments(finished, workspace):
    """On one core it leaves the bytes of a whole run on two. KILLS=20 kills twenty times."""
    for jobs, seconds in moments(jobs_done(finished.folder)):
        assert kill_at(workspace, jobs, seconds), f"it ended before {jobs} jobs and {seconds} s"
        # As `make run` does first.
        unlock = [sys.executable, "-m", "speechlasso.experiment.unlock"]
        subprocess.run(unlock, cwd=workspace.folder, check=True)
    # In a process of its own, for spec.json names the libraries that a job has loaded.
    workspace.run(*ON_ONE_CORE, PYTHONUNBUFFERED="1")
    assert differing_files(workspace.folder / "results", finished.folder / "results") == []
    for folder in ("locks", "incomplete", "scripts"):
        assert files_below(workspace.folder / ".snakemake" / folder) == set()


def test_checkpoints_go_when_all_is_written(finished, tmp_path):
    workspace = finished.copy(tmp_path / "workspace")
    index = pd.read_csv(workspace.folder / "results/experiments/tiny/index.tsv", sep="\t")
    lasso = index.set_index("arm").loc["lasso"]
    outputs = [
        Path(lasso["adapt"], "rows.safetensors"),
        Path(lasso["training"], "model.safetensors"),
    ]
    checkpoints = [workspace.folder / output.parent / "checkpoint" for output in outputs]
    for output, checkpoint, title in zip(outputs, checkpoints, ("adapt", "finetune"), strict=True):
        (workspace.folder / output).unlink()
        checkpoint.mkdir()
        save_file({}, checkpoint / f"{title}.safetensors", metadata={"fingerprint": "of others"})
    workspace.run(*map(str, outputs), "--configfile", "tiny.yaml")
    assert all((workspace.folder / output).exists() for output in outputs)
    assert not any(checkpoint.exists() for checkpoint in checkpoints)
