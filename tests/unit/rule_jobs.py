"""Rule scripts as Snakemake runs them, in this process."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.iocontainers import InputFiles, OutputFiles, Params, Wildcards

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow_scripts"


def rule_job(
    rule: str,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    params: Mapping[str, Any],
    **wildcards: str,
) -> SimpleNamespace:
    """A job whose log is RULE.log; inputs are files or lists of them, by role."""
    files = InputFiles()
    for role, paths in inputs.items():
        start, is_list = len(files), isinstance(paths, list)
        files.extend(paths if is_list else [paths])
        files._set_name(role, start, end=len(files) if is_list else None)
    return SimpleNamespace(
        rule=rule,
        input=files,
        output=OutputFiles(fromdict=dict(outputs)),
        params=Params(fromdict=dict(params)),
        wildcards=Wildcards(fromdict=wildcards),
        log=[f"{rule}.log"],
        scriptdir=str(SCRIPTS),
    )


def run_script(job: SimpleNamespace) -> None:
    script = SCRIPTS / f"{job.rule}.py"
    runpy.run_path(str(script), {"snakemake": job}, run_name="__main__")
