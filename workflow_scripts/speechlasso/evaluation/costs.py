"""What runs cost, beside what they score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

COSTS = {
    "trainable_parameters": "trainable parameters",
    "mean_sequence_length": "sequence length",
    "train_seconds": "training time",
    "adapt_seconds": "adaptation time",
    "peak_memory_mb": "peak memory",
}
"""Columns of runs.csv, and their names for people."""

_COUNTS = (("", 1.0), (" k", 1e3), (" M", 1e6), (" B", 1e9))
_SECONDS = ((" s", 1.0), (" min", 60.0), (" h", 3600.0))
_MEGABYTES = ((" MB", 1.0), (" GB", 1024.0))
_UNITS = {
    "trainable_parameters": _COUNTS,
    "mean_sequence_length": _COUNTS,
    "train_seconds": _SECONDS,
    "adapt_seconds": _SECONDS,
    "peak_memory_mb": _MEGABYTES,
}


def run_costs(training: Mapping[str, Any], adaptation: pd.DataFrame | None) -> dict[str, Any]:
    """What a run cost; None for what was not measured, or is not there.

    Parameters
    ----------
    training
        training.json.
    adaptation
        training_log.csv of the language model's adaptation to the new tokens, if the run reads one.

    Returns
    -------
    dict
        trainable_parameters, the numbers that learning the task changes: coefficients and
        intercepts of a linear classifier, weights of a fusion. mean_sequence_length, the positions
        that the model reads for an average training example (tokens, special ones included, and
        vectors, or frames), as they are left where examples are cut. train_seconds, for learning
        the task. adapt_seconds, the sum over the epochs of the adaptation, in full for each run
        that reads it. peak_memory_mb, the most that the process held that learned the task, in MiB:
        its libraries included, or of the GPU where it computed there.
    """
    costs = {name: training.get(name) for name in COSTS}
    return costs if adaptation is None else costs | {"adapt_seconds": adaptation["seconds"].sum()}


def arm_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over the runs of each arm, with the columns `COSTS` and the arms as the index.

    Parameters
    ----------
    runs
        One row for each run, as `summary.runs_table` makes it.
    """
    return runs.groupby("arm", sort=False)[list(COSTS)].mean()


def readable(costs: pd.DataFrame) -> pd.DataFrame:
    """Costs in units for people under names for people, without columns that say nothing."""
    measured = costs.dropna(axis="columns", how="all")
    cells = {COSTS[name]: [in_units(x, name) for x in measured[name]] for name in measured}
    return pd.DataFrame(cells, index=costs.index)


def in_units(number: float, cost: str) -> str:
    """A cost in the largest unit of which there is one, to three digits; empty where missing."""
    if pd.isna(number):
        return ""
    units = _UNITS[cost]
    name, size = next((unit for unit in reversed(units) if unit[1] <= number), units[0])
    digits = np.format_float_positional(number / size, precision=3, fractional=False, trim="-")
    return digits + name
