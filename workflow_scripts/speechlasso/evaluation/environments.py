"""In what runs of one table differ besides their settings: libraries, devices, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def differences(environments: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """A sentence for each thing in which runs of one table differ.

    Parameters
    ----------
    environments
        What `pipeline.provenance.environment` said of each run, by the run's arm.
    """
    values: dict[str, dict[str, list[str]]] = {}
    for arm, of_runs in environments.items():
        for name, value in {pair for of_run in of_runs for pair in of_run.items()}:
            values.setdefault(name, {}).setdefault(str(value), []).append(arm)
    return [
        f"{name}: "
        + "; ".join(f"{value} ({', '.join(arms)})" for value, arms in sorted(of_name.items()))
        for name, of_name in sorted(values.items())
        if len(of_name) > 1
    ]
