"""Clear the lock that a killed run left in this folder, but never that of a run at work.

python -m speechlasso.experiment.unlock
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import psutil

LOCKS = Path(".snakemake/locks")


def main() -> int:
    if not (LOCKS.is_dir() and any(LOCKS.iterdir())):
        return 0
    if running := snakemakes_in(Path.cwd()):
        for process in running:
            print(f"process {process.pid}: {' '.join(process.cmdline())}", file=sys.stderr)
        print("snakemake is at work in this folder; wait for it, or stop it first", file=sys.stderr)
        return 1
    # What `snakemake --unlock` does, without planning the experiment first.
    shutil.rmtree(LOCKS)
    return 0


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
