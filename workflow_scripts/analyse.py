"""Rule analyse: what audio changes, which errors it mends and makes, and in which rows."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.data import utterance_sounds as sounds
from speechlasso.data.manifest import COLUMNS
from speechlasso.evaluation import errors_by_arm
from speechlasso.evaluation.audio_effect import audio_effect
from speechlasso.evaluation.reference import reference_arm
from speechlasso.evaluation.summary import best_first, read_table
from speechlasso.evaluation.tested_arms import read_arms
from speechlasso.experiment.job import job
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import write_csv, write_parquet

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    use_plugins(params.modules)
    arms = read_arms(params.runs, Path())
    ids = {row_id for arm in arms.values() for row_id in arm.averaged["id"]}
    rows = sounds.read_utterances([run["manifest"] for run in params.runs], ids)
    seconds = sounds.utterance_seconds(rows) if "audio" in rows else None
    named = ["group", "language", *(name for name in rows if name not in COLUMNS)]
    groups = errors_by_arm.group_columns(rows, named, seconds)
    reference = arms[reference_arm(params.reads, params.reference)]
    hearing = errors_by_arm.hearing_arms(arms, params.reads, reference.name)
    if "audio" in rows:
        rows["clip"] = rows["audio"].map("|".join)
    errors = errors_by_arm.errors_table(hearing, reference, rows.filter([*named, "text", "clip"]))
    ranked = best_first(read_table(snakemake.input.summary), params.metric)
    names = {arm.name for arm in hearing}
    best = [name for name in ranked if name in names][:1]
    heard = errors[errors["arm"].isin(best) & (errors["rank"] <= sounds.MOST_SOUNDS)]
    write_csv(output.audio_effect, audio_effect(arms.values()))
    write_csv(output.errors, errors)
    by_group = errors_by_arm.errors_by_group(hearing, reference, groups)
    write_csv(output.errors_by_group, by_group)
    write_csv(output.groups, errors_by_arm.group_scores(arms.values(), groups, params.metric))
    write_parquet(output.clips, sounds.example_clips(heard["id"], rows, seconds))
