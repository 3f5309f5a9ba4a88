"""Clear the lock that a killed run left in this folder, but never that of a run at work.

python -m speechlasso.experiment.unlock
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path
from typing import IO

import psutil

from speechlasso.errors import InputError

LOCKS = Path(".snakemake/locks")
SCRIPTS = Path(".snakemake/scripts")
TURN = Path(".snakemake/turn")


def main() -> int:
    if not _is_locked():
        return 0
    if running := _running_here():
        print(running, file=sys.stderr)
        return 1
    # What `snakemake --unlock` does, without planning the experiment first.
    shutil.rmtree(LOCKS)
    for script in SCRIPTS.glob("tmp*"):  # copies, of jobs that were killed
        script.unlink(missing_ok=True)
    return 0


def wait_for_turn() -> IO[str] | None:
    """Wait until no other run of this folder is about to take Snakemake's lock.

    Snakemake first looks for a lock, then writes its own: two runs that start at once would both
    find none. It is this run's turn until the file is closed, or the process ends.
    """
    try:
        TURN.parent.mkdir(exist_ok=True)
        turn = TURN.open("w")
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting: another snakemake is starting in this folder", file=sys.stderr)
            fcntl.flock(turn, fcntl.LOCK_EX)
        return turn
    except OSError:  # a disk without such locks
        return None


def require_no_run() -> None:
    """See that no run of this folder is at work.

    Raises
    ------
    InputError
        If one is, here or, as far as its lock tells, on another machine.
    """
    if running := _running_here():
        raise InputError(running)
    if _is_locked():
        raise InputError(
            f"{LOCKS}: locked by a run that was killed, or that is at work on another machine. "
            "If there is none, clear the lock: snakemake --unlock"
        )


def _is_locked() -> bool:
    return LOCKS.is_dir() and any(LOCKS.iterdir())


def _running_here() -> str | None:
    """In words, the processes of Snakemake on this machine that work in this folder."""
    running = [f"process {p.pid}: {' '.join(p.cmdline())}" for p in snakemakes_in(Path.cwd())]
    advice = "snakemake is at work in this folder; wait for it, or stop it first"
    return "\n".join([*running, advice]) if running else None


def snakemakes_in(folder: Path) -> list[psutil.Process]:
    """Processes of Snakemake on this machine that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            # The program's own name, or the script or module that Python runs.
            names = [Path(word).name for word in process.cmdline()[:3]]
            if "snakemake" in names and Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
