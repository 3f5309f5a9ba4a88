"""Plans of small experiments."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings
from speechlasso.files import write_json, write_text
from speechlasso.pipeline.shards import spec_of_shard


def plan(**overrides):
    return make_plan(load_settings(merged(Settings().model_dump(), overrides)))


def leave_results(a_plan):
    """In the working folder, the files of a finished run, as far as commands look at them."""
    for of_stage in a_plan.variants.values():
        for variant in of_stage.values():
            shards = a_plan.shards(variant) if variant.settings.shard_suffix else []
            specs = [spec_of_shard(shard) for shard in shards] or [f"{variant.folder}/spec.json"]
            for spec in specs:
                write_json(spec, variant.spec)
            for path in (*shards, *(f"{variant.folder}/{name}" for name in variant.settings.files)):
                Path(path).touch()
    tables = [f"results/experiments/{a_plan.experiment}/{name}" for name in TABLES]
    cards = [f"{model.folder}/README.md" for model in a_plan.described_models()]
    for path in (*a_plan.files_of_tables(), *cards, *tables):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    for clips in a_plan.clip_records():
        RecordedClips({}).write(clips)  # planning reads it
    index = pd.DataFrame(a_plan.index()).to_csv(sep="\t", index=False)
    write_text(f"results/experiments/{a_plan.experiment}/index.tsv", index)


TABLES = (
    *("runs.csv", "summary.csv", "verdicts.csv", "confusion.csv"),
    *("tables/scores.md", "tables/scores.tex"),
    *("audio_effect.csv", "errors.csv", "errors_by_group.csv", "groups.csv"),
    *("example_clips.parquet", "provenance.json", "report.html"),
)


def keys_by_stage(a_plan):
    return {stage: set(a_plan.keys(stage)) for stage in a_plan.variants}


def changed_stages(before, after):
    a, b = keys_by_stage(before), keys_by_stage(after)
    return {stage for stage in a if a[stage] != b[stage]}


AFTER_SELECTION = {
    *("select_tokens", "describe_selection", "token_texts", "adapt_lm", "finetune", "fit_linear"),
    *("predict", "evaluate"),
}


def leave_one_speaker_out(table, **folds):
    return {
        "source": "table",
        "table": {"path": table, "columns": {"group": "speaker"}},
        "folds": {"method": "leave_one_group_out", **folds},
    }
