"""Whether two runs of an experiment left the same bytes, but for what is measured anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

# The columns or keys of seconds, memory, dates and places on the disk, with the size of a clip,
# which none has that was read while it was young. None where they stand all over a file: the report
# and the tables of scores show what was measured, and the others hold dates.
MEASURED = {
    "training_log.csv": ["seconds"],
    "path.parquet": ["seconds"],
    "training.json": ["train_seconds", "peak_memory_mb"],
    "runs.csv": ["train_seconds", "adapt_seconds", "peak_memory_mb"],
    "clips.parquet": ["size", "modified_ns", "changed_ns", "inode"],
    "provenance.json": ["written", "costs"],
    "scores.md": None,
    "scores.tex": None,
    "report.html": None,
    "quality-against-cost.svg": None,
    "quality-against-cost.csv": ["train_seconds", "adapt_seconds", "peak_memory_mb", "on_front"],
    "observed.json": None,
    ".digests.json": None,
}


def differing_files(results: Path, others: Path) -> list[str]:
    """Files of two folders of results that are in one of them alone, or differ in more."""
    ours, theirs = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        for root in (results, others)
    )
    differ = {path for path in ours & theirs if not _are_same(results / path, others / path)}
    return sorted(map(str, (ours ^ theirs) | differ))


def _are_same(one: Path, other: Path) -> bool:
    if one.read_bytes() == other.read_bytes():
        return True
    if one.name == "spec.json":
        return _spec(one) == _spec(other)
    measured = MEASURED.get(one.name, ())
    if measured is None:
        return True
    return bool(measured) and _kept(one, measured) == _kept(other, measured)


def _spec(path: Path) -> dict[str, Any]:
    """Without the digests of files that hold what is measured."""
    spec = json.loads(path.read_text())
    return spec | {"sha256": _without(spec["sha256"], MEASURED)}


def _kept(path: Path, measured: list[str]) -> Any:
    if path.suffix == ".json":
        return _without(json.loads(path.read_text()), measured)
    is_csv = path.suffix == ".csv"
    table = pd.read_csv(path, dtype=str) if is_csv else pd.read_parquet(path)
    return repr(table.drop(columns=measured).to_dict("list"))  # in which NaN is NaN


def _without(mapping: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
