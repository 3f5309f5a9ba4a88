"""The plan: every run of an experiment, and the variants that they need.

Importing this module costs pydantic and pandas at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from speechlasso.data.folds import fold_names
from speechlasso.data.manifest import count_rows, group_names
from speechlasso.data.recorded_clips import CLIPS
from speechlasso.experiment.runs import Run
from speechlasso.experiment.settings import Settings
from speechlasso.experiment.sweeps import single, swept
from speechlasso.pipeline import stages
from speechlasso.pipeline.artifacts import Artifacts
from speechlasso.pipeline.observations import Observations
from speechlasso.pipeline.shards import shards
from speechlasso.pipeline.variants import Variant
from speechlasso.selection.codec_layers import check_layers, counted_layers


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment and the variants they need."""

    experiment: str
    runs: tuple[Run, ...]
    n_rows: dict[str, int]
    """Rows of the table behind each manifest, by the manifest's key."""
    variants: dict[str, dict[str, Variant]]
    shard_size: int
    """Utterances tokenised or encoded by one job."""
    observations: Observations
    """What was seen of the user's files."""

    def run_files(self) -> list[str]:
        """What both the tables and the report read of all runs, each file once."""
        return list(dict.fromkeys(path for run in self.runs for path in run.files()))

    def overlap_files(self) -> dict[str, list[str]]:
        """What tells of runs that were adapted to rows that test them, by arm."""
        files: dict[str, list[str]] = {}
        for run in self.runs:
            files.setdefault(run.arm, []).extend(run.overlap_files())
        return {arm: list(dict.fromkeys(paths)) for arm, paths in files.items()}

    def anchor_bias_files(self) -> dict[str, list[str]]:
        """What tells whether language models follow instructions or the speech, by arm."""
        files: dict[str, list[str]] = {}
        for run in self.runs:
            if path := run.anchor_bias_file():
                files.setdefault(run.arm, []).append(path)
        return files

    def described(self) -> list[dict[str, str]]:
        """For the first run of each arm that has one, what describes its audio tokens."""
        first = list({run.arm: run for run in reversed(self.runs)}.values())[::-1]
        return [found for run in first if (found := run.described())]

    def described_files(self) -> list[str]:
        """What the report reads of these."""
        names = {"description": ("tokens.parquet", "listening.parquet"), "path": ("path.parquet",)}
        files = (
            f"{found[part]}/{name}"
            for found in self.described()
            for part in names
            for name in names[part]
            if part in found
        )
        return list(dict.fromkeys(files))

    def codec_layers(self) -> dict[str, str]:
        """Of arms that select audio tokens, the codec layers that these are chosen from."""
        return {run.arm: layers for run in self.runs if (layers := run.codec_layers())}

    def training_logs(self) -> dict[str, list[str]]:
        """How runs learned their task, by arm."""
        logs: dict[str, list[str]] = {}
        for run in self.runs:
            if path := run.training_log():
                logs.setdefault(run.arm, []).append(path)
        return logs

    def test_row_files(self) -> list[str]:
        """What says of each test row how it was decided: for intervals over a single fold, seeds
        that decide together, and McNemar's test."""
        return list(dict.fromkeys(path for run in self.runs for path in run.test_row_files()))

    def tested_files(self) -> list[str]:
        """What the analysis of errors reads of all runs."""
        return list(dict.fromkeys(path for run in self.runs for path in run.tested_files()))

    def reads(self) -> dict[str, list[str]]:
        """Of text and audio what each arm predicts by."""
        return {run.arm: sorted(run.reads) for run in self.runs}

    def clip_records(self) -> list[str]:
        """Where manifests recorded their clips."""
        return [f"{variant.folder}/{CLIPS}" for variant in self.variants["manifest"].values()]

    def description_files(self) -> list[str]:
        """The page of evidence of each selection."""
        return [
            f"{variant.folder}/page.html"
            for variant in self.variants["describe_selection"].values()
        ]

    def described_models(self) -> list[Variant]:
        """Models that get a card: those that are scored, not only read by another arm."""
        predictions = [v.upstream["predictions"] for v in self.variants["evaluate"].values()]
        scored = [v.upstream["training"] for v in predictions if predicts_as_it_learned(v)]
        return [variant for variant in scored if variant.settings.card.has_model_card]

    def files_of_tables(self) -> list[str]:
        """What the tables, the report and provenance.json read of variants."""
        by_arm = (self.overlap_files(), self.anchor_bias_files(), self.training_logs())
        others = chain.from_iterable(files.values() for files in by_arm)
        files = [*self.run_files(), *self.tested_files(), *chain.from_iterable(others)]
        files += [*self.clip_records(), *self.described_files()]
        return list(dict.fromkeys(files))

    def reached_folders(self) -> set[str]:
        """Folders of all variants, and of the manifests that first recorded clips changed since."""
        variants = [variant for of_stage in self.variants.values() for variant in of_stage.values()]
        recorders = map(_recorder, self.variants["manifest"].values())
        return {variant.folder for variant in (*variants, *recorders)}

    def watched(self) -> Iterator[str]:
        """In words, the user's files whose content is part of the keys."""
        for manifest in self.variants["manifest"].values():
            if manifest.settings.table.path:
                yield f"the table {manifest.settings.table.path}"
                yield self._watched_clips(manifest)
        others = {
            "the instructions " + path
            if name == "instructions"
            else "the model files " + (Path(path).parent.as_posix() if "/" in name else path)
            for of_stage in self.variants.values()
            for variant in of_stage.values()
            for name, path in variant.settings.data_files().items()
            if name != "table"
        }
        yield from sorted(others)

    def _watched_clips(self, manifest: Variant) -> str:
        clips = self.observations.clips(_recorder(manifest))
        if clips is None:
            return "the clips from when the manifest has recorded them (not yet)"
        return f"{clips['n']} clips, of which {clips['changed']} changed since they were recorded"

    def transductive_arms(self) -> list[str]:
        """Arms whose language model was adapted to unlabelled validation or test rows."""
        arms = [
            run.arm
            for run in self.runs
            for variant in run.with_ancestors()
            if isinstance(variant.settings, stages.AdaptLM)
            and set(variant.settings.adapt.splits) != {"train"}
        ]
        return list(dict.fromkeys(arms))

    def index(self) -> list[dict[str, Any]]:
        """Arm, fold, seed and folders of every run: how people find results without hashes."""
        return [
            {"arm": run.arm, "fold": run.fold, "seed": run.seed, **run.folders()}
            for run in self.runs
        ]

    def shards(self, variant: Variant) -> list[str]:
        """The files that codes or frames lie in; see `pipeline.shards`."""
        n_rows = self.n_rows[variant.upstream["manifest"].key]
        suffix = variant.settings.shard_suffix
        return shards(variant.folder, suffix, n_rows, self.shard_size)

    def keys(self, stage: str) -> list[str]:
        return sorted(self.variants[stage])

    def __getitem__(self, stage_and_key: tuple[str, str]) -> Variant:
        stage, key = stage_and_key
        return self.variants[stage][key]


def predicts_as_it_learned(predictions: Variant) -> bool:
    """Whether a model predicts from all that it has learned from."""
    read = dict(predictions.upstream)
    training = read.pop("training", None)
    return training is not None and all(
        training.upstream[role].key == read[role].key for role in read
    )


def _recorder(manifest: Variant) -> Variant:
    """The manifest that first recorded the clips of another one, or is that itself."""
    data = {name: digest for name, digest in manifest.data.items() if name != "clips"}
    return replace(manifest, data=data)


def make_plan(settings: Settings, observations: Observations | None = None) -> Plan:
    """Derive every variant the experiment needs.

    Parameters
    ----------
    observations
        What is known of the user's files; by default they are looked at.

    Raises
    ------
    InputError
        When the data table, which names the folds, cannot be read, or files of a tokenizer are
        missing.
    """
    observations = observations or Observations()
    folds = observations.ask("folds", lambda: _fold_names(settings))
    seen: dict[str, Variant] = {}
    settings_of = cache(partial(single, settings))
    runs = tuple(
        _run(Artifacts(of_arm, fold, seed, (arm,), settings_of), label).with_content(
            observations, seen
        )
        for arm in settings.experiment.arms
        for label, of_arm in swept(settings, arm)
        for fold in folds
        for seed in settings.seeds
    )
    variants: dict[str, dict[str, Variant]] = {stage: {} for stage in stages.STAGES}
    for run in runs:
        for variant in run.with_ancestors():
            known = variants[variant.stage].setdefault(variant.key, variant)
            if known is not variant and known.spec != variant.spec:
                raise RuntimeError(f"two specs share the key {variant.stage}/{variant.key}")
    _require_layers(variants["build_bow"].values(), variants["select_tokens"].values())
    n_rows = {
        key: observations.ask(f"rows of {manifest.folder}", partial(_n_rows, manifest))
        for key, manifest in variants["manifest"].items()
    }
    return Plan(
        settings.experiment.name, runs, n_rows, variants, settings.audio.shard_size, observations
    )


def _require_layers(bows: Iterable[Variant], selections: Iterable[Variant]) -> None:
    """See, where the settings tell how many layers there will be, that those named exist."""
    counted = {}
    for bow in bows:
        codes = bow.upstream.get("codes")
        n_layers = codes.settings.tokenizer.planned_n_layers if codes else None
        if n_layers is not None:
            counted[bow.key] = counted_layers(n_layers, bow.settings.bow.layers)
    for select in selections:
        layers = getattr(select.settings.selection, "layers", None)
        if layers and select.upstream["bow"].key in counted:
            check_layers(layers, counted[select.upstream["bow"].key])


def _run(artifacts: Artifacts, label: str) -> Run:
    arms = artifacts.settings.arms
    arm = arms[artifacts.arms[-1]]
    selection = getattr(arm, "select", None)
    description = artifacts.description(selection) if selection else None
    evaluation = artifacts.evaluation(arm)
    reads = frozenset(arm.predicts_by(arms))
    return Run(label, artifacts.fold, artifacts.seed, evaluation, description, reads)


def _fold_names(settings: Settings) -> list[str]:
    folds = settings.dataset.folds
    has_groups = folds.method == "leave_one_group_out"
    return fold_names(folds, group_names(settings.dataset.table) if has_groups else ())


def _n_rows(manifest: Variant) -> int:
    if "demo_corpus" in manifest.upstream:
        demo = manifest.upstream["demo_corpus"].settings.demo
        n_speakers = demo.train_speakers + demo.validation_speakers + demo.test_speakers
        return n_speakers * demo.utterances_per_speaker
    return count_rows(manifest.settings.table, manifest.settings.without)
