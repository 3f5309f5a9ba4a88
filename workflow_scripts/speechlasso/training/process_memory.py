"""How much memory a process takes, seen without torch."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_mb() -> float:
    """Most memory that this process has held so far, in MiB, its libraries included."""
    if sys.platform == "linux":
        # Unlike getrusage, it does not begin with what the process that started this one held.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
