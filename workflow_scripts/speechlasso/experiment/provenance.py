"""Where an experiment's results come from: what provenance.json says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso import __version__
from speechlasso.data.recorded_clips import summary_of_clips
from speechlasso.errors import without_secrets
from speechlasso.evaluation.environments import differences
from speechlasso.evaluation.job_costs import costs_by_arm, costs_by_stage, read_jobs
from speechlasso.evaluation.summary import OF_ADAPTATION, RunResult
from speechlasso.experiment.plan import Plan
from speechlasso.experiment.runs import Run
from speechlasso.experiment.settings import Settings
from speechlasso.packaged_models import packaged_digest
from speechlasso.pipeline.provenance import code_version, environment, installed, machine
from speechlasso.pipeline.variants import Variant
from speechlasso.section import Section

_NO_VERSIONS = ("device", "precision", "hub_commit")


def planned(plan: Plan, settings: Settings) -> dict[str, Any]:
    """The part that is known before anything runs.

    Returns
    -------
    dict
        experiment, its name; design: arms, folds, seeds and the number of runs; configuration, in
        full; files of the user's that stages read, with their SHA-256; models; jobs, each with its
        stage, the arms that need it and its benchmark; clips: where manifests recorded theirs.
    """
    variants = [v for of_stage in plan.variants.values() for v in of_stage.values()]
    return {
        "experiment": plan.experiment,
        "design": {
            "arms": list(dict.fromkeys(run.arm for run in plan.runs)),
            "folds": list(dict.fromkeys(run.fold for run in plan.runs)),
            "seeds": list(settings.seeds),
            "runs": len(plan.runs),
        },
        "configuration": settings.model_dump(mode="json"),
        "files": _each_once(_files(variants)),
        "models": list(_models(variants)),
        "jobs": list(_jobs(plan)),
        "clips": plan.clip_records(),
    }


def provenance(
    plans: Mapping[str, Any], results: Sequence[RunResult], workflow: str | Path
) -> dict[str, Any]:
    """All of it; passwords and tokens are masked.

    Parameters
    ----------
    plans
        As `planned` returns it.
    results
        What the runs left behind.
    workflow
        The folder of the Snakefile.
    """
    found = dict(plans)
    jobs, clips = read_jobs(found.pop("jobs")), found.pop("clips")
    environments: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        environments.setdefault(result.arm, []).append(result.environment)
    return _without_secrets(
        {
            "experiment": found.pop("experiment"),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"speechlasso": __version__, **_versions(environments)},
            "workflow": code_version(workflow),
            "machine": machine(),
            "computed_with": {name: _values(environments, name) for name in _NO_VERSIONS},
            "differences": differences(environments),
            **found,
            "clips": {str(Path(path).parent): summary_of_clips(path) for path in clips},
            "costs": {
                "stages": _records(costs_by_stage(jobs)),
                "arms": _records(costs_by_arm(jobs)),
            },
        }
    )


def _files(variants: Sequence[Variant]) -> Iterator[dict[str, Any]]:
    for variant in variants:
        paths = variant.settings.data_files()
        for name, digest in variant.data.items():
            # The digest of all clips stands in the key of a manifest whose clips were replaced.
            if name in paths:
                yield {"name": name, "path": paths[name], "sha256": digest}


def _models(variants: Sequence[Variant]) -> Iterator[dict[str, Any]]:
    """Of a package the published digest; the files of one in a folder are among the files."""
    found = {(role, *model): None for v in variants for role, model in v.settings.models().items()}
    for role, name, revision in found:
        digest = packaged_digest(name, revision)
        yield {"role": role, "name": name, "revision": revision, "sha256": digest}


def _jobs(plan: Plan) -> Iterator[dict[str, Any]]:
    arms: dict[str, dict[str, None]] = {}
    for run in plan.runs:
        for folder in _folders(run):
            arms.setdefault(folder, {})[run.arm] = None
    for stage, of_stage in plan.variants.items():
        for variant in of_stage.values():
            shards = plan.shards(variant) if variant.settings.shard_suffix else []
            parts = [f"-{Path(shard).stem.removeprefix('shard-')}" for shard in shards]
            for part in parts or [""]:
                yield _job(stage, f"benchmarks/{stage}/{variant.key}{part}.tsv", variant, arms)
    for model in plan.described_models():
        yield _job("model_card", f"benchmarks/{model.stage}/{model.key}-card.tsv", model, arms)


def _folders(run: Run) -> set[str]:
    """As `run.all_folders()`, which comes to shared variants by every way there is."""
    found, left = set(), [run.evaluation, *([run.description] if run.description else [])]
    while left:
        variant = left.pop()
        if variant.folder not in found:
            found.add(variant.folder)
            left.extend(variant.upstream.values())
    return found


def _job(
    stage: str, benchmark: str, variant: Variant, arms: Mapping[str, Mapping[str, None]]
) -> dict[str, Any]:
    return {"stage": stage, "arms": list(arms[variant.folder]), "benchmark": benchmark}


def _versions(environments: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Of what runs computed with and of what wrote this down; several where they differ."""
    found = {**environments, "": [{"snakemake": installed("snakemake"), **environment(Section())}]}
    names = dict.fromkeys(name for runs in found.values() for run in runs for name in run)
    versions = {
        name: ", ".join(_values(found, name))
        for name in names
        if name not in _NO_VERSIONS and not name.endswith(OF_ADAPTATION)
    }
    return {name: version for name, version in versions.items() if version}


def _values(
    environments: Mapping[str, Sequence[Mapping[str, Any]]], name: str
) -> dict[str, list[str]]:
    """The arms with each value, by the value."""
    found: dict[str, dict[str, None]] = {}
    for arm, of_runs in environments.items():
        for of_run in of_runs:
            if of_run.get(name) is not None:
                found.setdefault(str(of_run[name]), {})[arm] = None
    return {value: list(arms) for value, arms in sorted(found.items())}


def _each_once(records: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({tuple(record.values()): record for record in records}.values())


def _records(costs: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which knows no NaN."""
    rounded = costs.round(2).astype(object)
    return rounded.where(costs.notna(), None).to_dict("records")


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {without_secrets(str(key)): _without_secrets(v) for key, v in value.items()}
    return [_without_secrets(v) for v in value] if isinstance(value, list) else value
