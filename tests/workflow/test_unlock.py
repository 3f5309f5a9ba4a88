"""Of two runs in a folder the second ends and says why; only a lock that none holds is cleared."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from .conftest import ENVIRONMENT


@pytest.fixture
def start(workspace):
    """A function that starts a run, of which nothing stays behind."""
    runs = []

    def started():
        with (workspace.folder / "run.log").open("wb") as stream:
            run = subprocess.Popen(
                workspace.command("--configfile", "tiny.yaml", "--until", "demo_corpus"),
                cwd=workspace.folder,
                env=ENVIRONMENT,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        runs.append(run)
        return run

    yield started
    for run in runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()


def wait_for(process, workspace, is_so):
    while not is_so():
        assert process.poll() is None, (workspace.folder / "run.log").read_text()
        time.sleep(0.01)


def jobs_in(workspace):
    """The processes of rule scripts, without the shells that started them."""
    scripts = str(workspace.folder / ".snakemake/scripts")
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(scripts) for word in (process.info["cmdline"] or [])[:2])
    ]


def locks(workspace):
    return list(workspace.folder.glob(".snakemake/locks/*"))


def unlock(workspace):
    return subprocess.run(
        [sys.executable, "-m", "speechlasso.experiment.unlock"],
        cwd=workspace.folder,
        capture_output=True,
        text=True,
    )


def test_of_two_runs_one_goes_on_and_only_the_lock_of_a_killed_one_goes(start, workspace):
    turn = workspace.folder / ".snakemake/turn"
    turn.parent.mkdir()
    with turn.open("w") as another_starts:
        fcntl.flock(another_starts, fcntl.LOCK_EX)
        process = start()
        log = workspace.folder / "run.log"
        wait_for(process, workspace, lambda: "another snakemake is starting" in log.read_text())
        assert not locks(workspace)
    wait_for(process, workspace, lambda: jobs_in(workspace))

    # Standing still, it does not end before the others.
    os.killpg(process.pid, signal.SIGSTOP)
    of_another = ("--config", "experiment={name: another}", "seeds=[2]")
    another = workspace.snakemake("--configfile", "tiny.yaml", *of_another)
    assert another.returncode == 1
    assert "cannot be locked" in another.stdout and "--unlock" in another.stdout
    refused = unlock(workspace)
    assert refused.returncode == 1
    assert f"process {process.pid}: " in refused.stderr and "at work" in refused.stderr
    assert locks(workspace)

    # As the system does when memory runs out.
    jobs_in(workspace)[0].kill()
    os.killpg(process.pid, signal.SIGCONT)
    assert process.wait() == 1
    told = r"^results/demo_corpus/espeak-\w+: the job was killed, by you or by the system"
    assert re.search(told, log.read_text(), re.MULTILINE), log.read_text()
    assert not locks(workspace)
    assert unlock(workspace).returncode == 0

    killed = start()
    wait_for(killed, workspace, lambda: jobs_in(workspace))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert locks(workspace)
    assert unlock(workspace).returncode == 0
    assert not locks(workspace)
    assert not list(workspace.folder.glob(".snakemake/scripts/*"))
