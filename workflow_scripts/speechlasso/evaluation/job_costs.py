"""What the jobs behind an experiment took, from the benchmark files that Snakemake leaves.

A result that was copied from elsewhere has none, so how many jobs were measured is always said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

COSTS = [
    *("jobs", "measured", "seconds", "mean_seconds", "max_seconds"),
    *("mean_memory_mb", "max_memory_mb"),
]


def read_jobs(jobs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The jobs with their seconds and most memory (resident, MiB), NaN where nobody measured them.

    Parameters
    ----------
    jobs
        Of each its stage, the arms that need it, and the path of its benchmark.
    """
    rows = [{**job, **_measured(Path(job["benchmark"]))} for job in jobs]
    return pd.DataFrame(rows, columns=["stage", "arms", "benchmark", "seconds", "memory_mb"])


def costs_by_stage(jobs: pd.DataFrame) -> pd.DataFrame:
    """A row for each stage, in the order of the first job of each.

    Parameters
    ----------
    jobs
        As `read_jobs` returns them.

    Returns
    -------
    pandas.DataFrame
        stage; jobs, and how many of them were `measured`; of these the sum, mean and maximum of the
        wall-clock seconds, and the mean and maximum of the memory (MiB); NaN where none was.
    """
    return _costs(jobs, "stage")


def costs_by_arm(jobs: pd.DataFrame) -> pd.DataFrame:
    """As `costs_by_stage`, by arm: a job that several arms need counts in full for each of them.

    `own_seconds` are those of the jobs that no other arm needs.
    """
    own = jobs[jobs["arms"].map(len) == 1]
    of_own = own.assign(arm=own["arms"].map(lambda arms: arms[0])).groupby("arm")["seconds"].sum()
    costs = _costs(jobs.explode("arms").rename(columns={"arms": "arm"}), "arm")
    return costs.assign(own_seconds=costs["arm"].map(of_own).fillna(0.0))


def _costs(jobs: pd.DataFrame, key: str) -> pd.DataFrame:
    by_key = jobs.groupby(key, sort=False)
    found = by_key.agg(
        jobs=("seconds", "size"),
        measured=("seconds", "count"),
        mean_seconds=("seconds", "mean"),
        max_seconds=("seconds", "max"),
        mean_memory_mb=("memory_mb", "mean"),
        max_memory_mb=("memory_mb", "max"),
    )
    found["seconds"] = by_key["seconds"].sum(min_count=1)
    return found[COSTS].reset_index()


def _measured(benchmark: Path) -> dict[str, float]:
    """NaN of a job too short for its memory to be looked at."""
    try:
        rows = pd.read_csv(benchmark, sep="\t", na_values=["-", "NA"])
        return {"seconds": float(rows["s"].mean()), "memory_mb": float(rows["max_rss"].max())}
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what Snakemake writes
        return {"seconds": float("nan"), "memory_mb": float("nan")}
