"""A run killed in the middle of any stage and started again ends with the same summary."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import save_file

from .conftest import ENVIRONMENT

# One of each kind: many files, learned files, large counts, checkpoints, tables of all runs.
STAGES = [
    *("demo_corpus", "fit_tokenizer", "tokenize_audio", "fit_path"),
    *("adapt_lm", "finetune", "predict", "experiments"),
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
def test_killed_in_many_stages(finished, workspace):
    killed = []
    for stage in STAGES:
        if run_until_killed_in(workspace, stage):
            killed.append(stage)
            # All that --unlock does, without planning the experiment once more for each stage.
            shutil.rmtree(workspace.folder / ".snakemake/locks")
    workspace.run("--configfile", "tiny.yaml")
    # Which job the scheduler takes first is its own affair: a stage of few jobs may be over by the
    # time that another one's was killed beside it.
    assert len(killed) >= 5, killed
    name = "results/experiments/tiny/summary.csv"
    assert (workspace.folder / name).read_bytes() == (finished.folder / name).read_bytes()


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
