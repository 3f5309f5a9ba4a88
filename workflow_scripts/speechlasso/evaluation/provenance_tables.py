"""provenance.json as small tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from speechlasso.evaluation.costs import in_units

_COLUMNS = {
    "jobs": ("jobs", str),
    "measured": ("measured", str),
    "seconds": ("time", lambda x: in_units(x, "train_seconds")),
    "own_seconds": ("of jobs of its own", lambda x: in_units(x, "train_seconds")),
    "mean_seconds": ("mean of a job", lambda x: in_units(x, "train_seconds")),
    "max_seconds": ("longest job", lambda x: in_units(x, "train_seconds")),
    "mean_memory_mb": ("mean memory", lambda x: in_units(x, "peak_memory_mb")),
    "max_memory_mb": ("most memory", lambda x: in_units(x, "peak_memory_mb")),
}


def provenance_tables(provenance: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Tables by their titles, all cells texts.

    Parameters
    ----------
    provenance
        What provenance.json holds.

    Returns
    -------
    dict
        Time and memory of stages and of arms (a job that several arms need counts for each), with
        what was computed, data and models, and the configuration, a row for each key.
    """
    costs = provenance["costs"]
    return {
        "What the stages took": _costs(costs["stages"], "stage"),
        "What the arms took": _costs(costs["arms"], "arm"),
        "Versions and machine": _pairs(_versions(provenance), "what", "version"),
        "Data and models": pd.DataFrame(_data(provenance), columns=["what", "which", "SHA-256"]),
        "Configuration": _pairs(_flat(provenance["configuration"]), "key", "value"),
    }


def unmeasured(provenance: Mapping[str, Any]) -> str:
    """A sentence where not all jobs were measured, as results may come from elsewhere; or empty."""
    stages = provenance["costs"]["stages"]
    missing = sum(stage["jobs"] - stage["measured"] for stage in stages)
    if not missing:
        return ""
    of_all = sum(stage["jobs"] for stage in stages)
    return (
        f"Of {missing} of {of_all} jobs nobody knows what they took: their results come from "
        "elsewhere, or their benchmark files were removed."
    )


def _costs(records: list[dict[str, Any]], key: str) -> pd.DataFrame:
    rows = [
        {key: record[key]}
        | {
            title: "" if record[name] is None else in_words(record[name])
            for name, (title, in_words) in _COLUMNS.items()
            if name in record
        }
        for record in records
    ]
    table = pd.DataFrame(rows)
    # That all were measured need not be said in every row.
    all_measured = all(record["jobs"] == record["measured"] for record in records)
    return table.drop(columns="measured") if all_measured else table


def _versions(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from provenance["versions"].items()
    workflow = provenance["workflow"]
    changed = ", with changes that are not committed" if workflow["changed"] else ""
    yield (
        "commit of the workflow",
        f"{workflow['commit']}{changed}"
        if workflow["commit"]
        else (f"not known: {workflow['told']}"),
    )
    machine = provenance["machine"]
    yield (
        "this was written on",
        f"{machine['processor']}, {machine['cores']} cores"
        + (f", {in_units(machine['memory_mb'], 'peak_memory_mb')}" if machine["memory_mb"] else ""),
    )
    yield "system", machine["system"]
    yield "date", provenance["written"]
    for name, values in provenance["computed_with"].items():
        title = {"device": "runs computed on", "hub_commit": "commit of the hub's model"}.get(name)
        if len(values) == 1:
            yield title or name, next(iter(values))
        elif values:
            told = (f"{value} ({', '.join(arms)})" for value, arms in values.items())
            yield title or name, "; ".join(told)


def _data(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for file in provenance["files"]:
        yield file["name"], file["path"], file["sha256"] or ""
    for folder, clips in provenance["clips"].items():
        missing = f", {clips['missing']} of them missing" if clips["missing"] else ""
        yield "clips", f"{clips['n']} of {folder}{missing}", clips["sha256"]
    for model in provenance["models"]:
        revision = f", revision {model['revision']}" if model["revision"] else ""
        yield model["role"], f"{model['name']}{revision}", model["sha256"] or ""


def _flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{above}{name}", text


def _pairs(pairs: Iterator[tuple[str, str]], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(list(pairs), columns=list(columns), dtype=str)
