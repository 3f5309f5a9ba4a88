"""Which results of a plan are there, and which of the others the next run would make.

As Snakemake has it: what is missing is made where a target, or something else that is to be made,
reads it, and not where all that was made of it is there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from speechlasso.experiment.plan import Plan
from speechlasso.pipeline.shards import is_written
from speechlasso.pipeline.variants import RESULTS, Variant

CACHED, TO_BE_RUN, NOT_NEEDED = "cached", "would run", "missing, not needed"

_TABLES = (
    *("runs.csv", "summary.csv", "verdicts.csv", "confusion.csv"),
    *("tables/scores.md", "tables/scores.tex"),
    *("audio_effect.csv", "errors.csv", "errors_by_group.csv", "groups.csv"),
    *("example_clips.parquet", "provenance.json", "report.html"),
)
_ON_CARDS = ("manifest", "divide_folds", "tokenize_audio", "token_texts", "adapt_lm")


def states(plan: Plan) -> dict[str, str]:
    """The state of each variant, by its folder."""
    variants = {v.folder: v for of_stage in plan.variants.values() for v in of_stage.values()}
    read_by_others = plan.files_of_tables()
    missing = {f for f, variant in variants.items() if not _is_done(plan, variant, read_by_others)}
    reads = {folder: {v.folder for v in variants[folder].upstream.values()} for folder in variants}
    cards = {f"{m.folder}/README.md": _on_card(plan, m) for m in plan.described_models()}
    wanted = {card for card in cards if not Path(card).is_file()}
    wanted |= missing & {v.folder for v in plan.variants["describe_selection"].values()}
    tables = f"{RESULTS}/experiments/{plan.experiment}"
    if not _has_tables(plan, Path(tables)):
        wanted.add(tables)
    of_tables = {tables: {path.rpartition("/")[0] for path in read_by_others}}
    due = _due(missing, reads | cards | of_tables, wanted)
    return {
        folder: TO_BE_RUN if folder in due else NOT_NEEDED if folder in missing else CACHED
        for folder in variants
    }


def unneeded_files(plan: Plan) -> list[list[str]]:
    """Of each variant that is missing and not needed, the files to ask a run for."""
    state_of = states(plan)
    return [
        plan.shards(variant) if variant.settings.shard_suffix else [f"{variant.folder}/spec.json"]
        for of_stage in plan.variants.values()
        for variant in of_stage.values()
        if state_of[variant.folder] == NOT_NEEDED
    ]


def _due(missing: set[str], reads: Mapping[str, set[str]], wanted: set[str]) -> set[str]:
    """What is wanted, what is missing for it, and what is made anew of these."""
    due: set[str] = set()
    new = wanted
    while new:
        due |= new
        needed = missing & set().union(*(reads[name] for name in new))
        new = (needed | {name for name, read in reads.items() if read & new}) - due
    return due


def _is_done(plan: Plan, variant: Variant, read_by_others: list[str]) -> bool:
    """Whether all is there that is read of it."""
    if variant.settings.shard_suffix:
        return all(map(is_written, plan.shards(variant)))
    folder = Path(variant.folder)
    names = ["spec.json", *variant.settings.files]
    of_others = [path for path in read_by_others if path.startswith(f"{variant.folder}/")]
    return all(path.is_file() for path in (*map(folder.joinpath, names), *map(Path, of_others)))


def _on_card(plan: Plan, model: Variant) -> set[str]:
    """Folders that a model's card tells of."""
    evaluations = {
        evaluation.folder
        for evaluation in plan.variants["evaluate"].values()
        if model.key in {v.key for v in evaluation.upstream["predictions"].upstream.values()}
    }
    behind = {v.folder for v in model.with_ancestors() if v.stage in _ON_CARDS}
    selection = model.upstream.get("select")
    return {model.folder, *behind, *evaluations, *([selection.folder] if selection else ())}


def _has_tables(plan: Plan, folder: Path) -> bool:
    """Whether the tables are there, and of these runs."""
    index = folder / "index.tsv"
    if not (index.is_file() and all((folder / name).is_file() for name in _TABLES)):
        return False
    return index.read_text(encoding="utf-8") == pd.DataFrame(plan.index()).to_csv(
        sep="\t", index=False
    )
