"""A run killed in the middle of any stage and started again ends with the same summary."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from .conftest import ENVIRONMENT

STAGES = [
    *("corpus", "manifest", "folds", "tokenizer", "codes", "bow", "path", "select"),
    *("token_texts", "adapt", "finetune", "linear", "predict", "evaluate", "description"),
    "experiments",
]
LONGEST_WAIT = 300  # seconds


def run_until_killed_in(workspace, stage):
    """Start the experiment and kill it, with all its jobs, once a job of the stage has begun.

    A job has begun when its log is there; it is overwritten by each attempt, so only logs newer
    than the start count. Returns False if the run ended before.
    """
    started = time.time()
    process = subprocess.Popen(
        workspace.command("--configfile", "tiny.yaml"),
        cwd=workspace.folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and time.time() - started < LONGEST_WAIT:
        logs = (workspace.folder / "logs" / stage).glob("*")
        if any(log.stat().st_mtime > started for log in logs):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_killed_in_every_stage(finished, workspace):
    killed = []
    for stage in STAGES:
        if run_until_killed_in(workspace, stage):
            killed.append(stage)
            workspace.run("--unlock", "--configfile", "tiny.yaml")
    workspace.run("--configfile", "tiny.yaml")
    # Which job the scheduler takes first is its own affair: a stage of few jobs may be over by the
    # time that another one's was killed beside it.
    assert len(killed) >= 8, killed
    name = "results/experiments/tiny/summary.csv"
    assert (workspace.folder / name).read_bytes() == (finished.folder / name).read_bytes()
