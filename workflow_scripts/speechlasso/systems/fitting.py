"""Learning the task, whatever the system is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechlasso.training.process_memory import peak_memory_mb

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Let the system of a training learn the task, as `SystemCard` describes it.

    Returns
    -------
    dict
        What training.json says: what the system itself says, and where it does not say them,
        `train_seconds` and `peak_memory_mb` of this process.
    """
    system = settings.card.load()
    started = time.perf_counter()
    told = system.fit(inputs, settings, folder, threads)
    seconds = time.perf_counter() - started
    return {"train_seconds": seconds, "peak_memory_mb": peak_memory_mb()} | told
