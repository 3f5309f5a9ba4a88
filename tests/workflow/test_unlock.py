"""Only a lock that no running snakemake holds is cleared."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

from .conftest import ENVIRONMENT


def started(workspace):
    """A run that has taken its lock."""
    log = workspace.folder / "run.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            workspace.command("--configfile", "tiny.yaml", "--until", "demo_corpus"),
            cwd=workspace.folder,
            env=ENVIRONMENT,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not locks(workspace):
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    return process


def locks(workspace):
    return list(workspace.folder.glob(".snakemake/locks/*"))


def unlock(workspace):
    return subprocess.run(
        [sys.executable, "-m", "speechlasso.experiment.unlock"],
        cwd=workspace.folder,
        capture_output=True,
        text=True,
    )


def test_the_lock_of_a_running_snakemake_stays_and_that_of_a_killed_one_goes(workspace):
    process = started(workspace)
    refused = unlock(workspace)
    assert process.poll() is None, "the run ended too early to tell anything"
    assert refused.returncode == 1
    assert f"process {process.pid}: " in refused.stderr and "at work" in refused.stderr
    assert locks(workspace)
    assert process.wait() == 0
    assert not locks(workspace)
    assert unlock(workspace).returncode == 0

    shutil.rmtree(workspace.folder / "results")
    killed = started(workspace)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert locks(workspace)
    assert unlock(workspace).returncode == 0
    assert not locks(workspace)
