"""A Slurm with one node, this machine, for as long as a test lasts. It needs root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged")
SECONDS_TO_START = 30
NODE = {"cpus": 2, "memory_mb": 16000}


def what_is_missing() -> str | None:
    """Why a Slurm cannot be started here, if it cannot."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "only root can start a Slurm"


@contextmanager
def local_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster that keeps all it has in a folder; yield the environment that finds it.

    The folder and those above it must let the user `munge` through.
    """
    environment = _configure(folder)
    try:
        _start_munge(folder / "munge")
        for daemon in (["slurmctld", "-c"], ["slurmd"]):
            subprocess.run(daemon, env=environment, check=True)
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, stderr=subprocess.DEVNULL)
        for daemon in ("slurmd", "slurmctld", "munged"):
            _stop(folder / "run" / f"{daemon}.pid")


def _configure(folder: Path) -> dict[str, str]:
    for name in ("run", "state", "spool", "log", "bin"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    configuration = folder / "slurm.conf"
    configuration.write_text(_configuration(folder))
    # Snakemake's plugin takes all variables of Slurm's own from a job; its srun needs this one.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = os.pathsep.join([str(srun.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)}


def _configuration(folder: Path) -> str:
    controller_port, node_port = _free_ports(2)
    return f"""\
ClusterName=tests
SlurmctldHost=localhost
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/run/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
SlurmdParameters=config_overrides
MinJobAge=3000
KillWait=5
NodeName=localhost CPUs={NODE["cpus"]} RealMemory={NODE["memory_mb"]} State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start_munge(folder: Path) -> None:
    folder.mkdir()
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for path in (folder, key):
        shutil.chown(path, "munge", "munge")
    run = folder.parent / "run"
    shutil.chown(run, "munge", "munge")
    files = [
        f"--key-file={key}",
        f"--socket={run}/munge.socket",
        f"--pid-file={run}/munged.pid",
        f"--log-file={folder}/log",
        f"--seed-file={folder}/seed",
    ]
    user = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
    subprocess.run([*user, "munged", *files], check=True)


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        asked = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True
        )
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text() for path in (folder / "log").glob("*.log"))
    raise RuntimeError(f"Slurm is not there after {SECONDS_TO_START} s: {asked.stderr}\n{logs}")


def _stop(pid_file: Path) -> None:
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        while True:  # until it is gone
            os.kill(pid, 0)
            time.sleep(0.05)
    except (OSError, ValueError):
        return
