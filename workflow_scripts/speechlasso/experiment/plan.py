"""The plan: from the configuration to the folders of all artifacts.

Every stage variant lives in `results/<stage>/<label>-<hash>/`, where the hash covers the stage's
name and version, its settings, what the user's files that it reads hold, and the keys of the
variants it reads. So equal work is done once, across arms and experiments; different work never
shares a folder; and going back to an old setting, or to old data, finds the old results. Importing
this module costs pydantic and pandas at most.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from speechlasso.data.folds import fold_names
from speechlasso.data.manifest import count_rows, group_names
from speechlasso.data.settings import Columns, Table
from speechlasso.experiment.load import arm_settings
from speechlasso.experiment.settings import Settings
from speechlasso.pipeline import stages
from speechlasso.pipeline.observations import Observations, with_content
from speechlasso.selection.codec_layers import check_layers, counted_layers, planned_n_layers
from speechlasso.selection.settings import (
    AllTokens,
    LassoFitting,
    LassoSelection,
    RandomSelection,
    RankedSelection,
)
from speechlasso.systems.settings import Arm
from speechlasso.tokenizers import BACKENDS

RESULTS = "results"
DEMO_COLUMNS = Columns(split="split", group="speaker")


@dataclass(frozen=True, eq=False)
class Variant:
    """A stage with its effective settings and the variants it reads, by their role."""

    settings: stages.Stage
    upstream: dict[str, Variant] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the user's files that the stage itself reads."""

    @property
    def stage(self) -> str:
        return self.settings.name

    @property
    def spec(self) -> dict[str, Any]:
        """All that the key covers."""
        return {
            "stage": self.stage,
            "version": self.settings.version,
            "settings": self.settings.hashed_settings(),
            "data": self.data,
            "upstream": {role: variant.key for role, variant in self.upstream.items()},
        }

    @cached_property
    def key(self) -> str:
        text = json.dumps(self.spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
        # Folders of the user's have names that Snakemake would read as patterns.
        label = re.sub(r"[^\w.-]", "_", self.settings.label)
        return f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def folder(self) -> str:
        return f"{RESULTS}/{self.stage}/{self.key}"

    def with_ancestors(self) -> Iterator[Variant]:
        """The variant after all that it reads, directly or not."""
        for variant in self.upstream.values():
            yield from variant.with_ancestors()
        yield self


@dataclass(frozen=True)
class Run:
    """One arm on one fold with one seed."""

    arm: str
    fold: str
    seed: int
    evaluation: Variant
    description: Variant | None

    def with_ancestors(self) -> Iterator[Variant]:
        """Every variant the run needs; its own selection after one that gave the size."""
        if self.description:
            yield from self.description.with_ancestors()
        yield from self.evaluation.with_ancestors()

    def with_content(self, observations: Observations, known: dict[str, Variant]) -> Run:
        """The run with keys that cover what the user's files hold."""
        description = self.description
        return replace(
            self,
            evaluation=with_content(self.evaluation, observations, known),
            description=description and with_content(description, observations, known),
        )

    def folders(self) -> dict[str, str]:
        """Folder of each stage that the run passes through."""
        # The random control passes through two selections; its own comes last.
        return {variant.stage: variant.folder for variant in self.with_ancestors()}

    def all_folders(self) -> set[str]:
        """Folders of everything the run needs, both selections of a random control included."""
        return {variant.folder for variant in self.with_ancestors()}

    def files(self) -> list[str]:
        """What the tables and the report read of the run."""
        folders = self.folders()
        training = folders.get("finetune") or folders["linear"]
        files = [f"{folders['evaluate']}/metrics.json", f"{training}/training.json"]
        if "adapt" in folders:
            files += [f"{folders['adapt']}/training_log.csv", f"{folders['adapt']}/overlap.json"]
        return [*files, f"{folders['select']}/selection.json"] if "select" in folders else files

    def test_row_files(self) -> list[str]:
        """What the run's test rows are read from (`run_predictions`)."""
        folders = self.folders()
        predicted = folders.get("predict") or folders["linear"]
        return [
            f"{predicted}/predictions.parquet",
            f"{folders['manifest']}/manifest.parquet",
            f"{folders['evaluate']}/spec.json",
        ]


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment and the variants they need."""

    experiment: str
    runs: tuple[Run, ...]
    n_rows: dict[str, int]
    """Rows of the table behind each manifest, by the manifest's key."""
    variants: dict[str, dict[str, Variant]]
    shard_size: int
    """Utterances tokenised by one job."""
    observations: Observations
    """What was seen of the user's files."""

    def run_files(self) -> list[str]:
        """What the tables and the report read of all runs, each file once."""
        return list(dict.fromkeys(path for run in self.runs for path in run.files()))

    def test_row_files(self) -> list[str]:
        """What is resampled for intervals over a single fold; nothing for several folds."""
        if len({run.fold for run in self.runs}) > 1:
            return []
        return list(dict.fromkeys(path for run in self.runs for path in run.test_row_files()))

    def description_files(self) -> list[str]:
        """The page of evidence of each selection."""
        return [f"{variant.folder}/page.html" for variant in self.variants["description"].values()]

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
        models = {
            Path(path).parent.as_posix() if "/" in name else path
            for of_stage in self.variants.values()
            for variant in of_stage.values()
            for name, path in variant.settings.data_files().items()
            if name != "table"
        }
        yield from (f"the model files {path}" for path in sorted(models))

    def _watched_clips(self, manifest: Variant) -> str:
        clips = self.observations.clips(_recorder(manifest))
        if clips is None:
            return "no clips yet: the manifest will record them"
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

    def shards(self, codes: Variant) -> list[str]:
        """The files that codes lie in, one for each job that tokenises.

        Codes that are complete keep the division in which they were made.
        """
        n_rows = self.n_rows[codes.upstream["manifest"].key]
        divisions = {-(-n_rows // self.shard_size): None, **_divisions(Path(codes.folder))}
        done = (n for n in divisions if all(map(_is_written, _shards(codes.folder, n))))
        return _shards(codes.folder, next(done, next(iter(divisions))))

    def keys(self, stage: str) -> list[str]:
        return sorted(self.variants[stage])

    def __getitem__(self, stage_and_key: tuple[str, str]) -> Variant:
        stage, key = stage_and_key
        return self.variants[stage][key]


def _recorder(manifest: Variant) -> Variant:
    """The manifest that first recorded the clips of another one, or is that itself."""
    data = {name: digest for name, digest in manifest.data.items() if name != "clips"}
    return replace(manifest, data=data)


def _shards(folder: str, n: int) -> list[str]:
    return [f"{folder}/shard-{shard}-of-{n}.parquet" for shard in range(n)]


def _divisions(folder: Path) -> dict[int, None]:
    """Numbers of shards that codes were ever divided into, in ascending order."""
    names = (path.name for path in folder.glob("shard-0-of-*.spec.json"))
    return dict.fromkeys(sorted(int(name.split(".")[0].split("-of-")[1]) for name in names))


def _is_written(shard: str) -> bool:
    return Path(shard).is_file() and spec_of_shard(shard).is_file()


def spec_of_shard(shard: str) -> Path:
    """The spec.json of a file of codes."""
    return Path(shard).with_suffix(".spec.json")


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
    runs = tuple(
        _run(of_arm, arm, label, fold, seed).with_content(observations, seen)
        for arm in settings.experiment.arms
        for label, of_arm in _sweep(settings, arm)
        for fold in folds
        for seed in settings.seeds
    )
    variants: dict[str, dict[str, Variant]] = {stage: {} for stage in stages.STAGES}
    for run in runs:
        for variant in run.with_ancestors():
            known = variants[variant.stage].setdefault(variant.key, variant)
            if known is not variant and known.spec != variant.spec:
                raise RuntimeError(f"two specs share the key {variant.stage}/{variant.key}")
    _require_layers(variants["bow"].values(), variants["select"].values())
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
        n_layers = planned_n_layers(codes.settings.tokenizer) if codes else None
        if n_layers is not None:
            counted[bow.key] = counted_layers(n_layers, bow.settings.bow.layers)
    for select in selections:
        layers = getattr(select.settings.selection, "layers", None)
        if layers and select.upstream["bow"].key in counted:
            check_layers(layers, counted[select.upstream["bow"].key])


def _run(settings: Settings, arm: str, label: str, fold: str, seed: int) -> Run:
    evaluation = _evaluation(settings, arm, fold, seed)
    name = settings.arms[arm].select
    select = _selection(settings, name, fold, seed) if name else None
    description = _description(settings, name, select, fold) if select else None
    return Run(label, fold, seed, evaluation, description)


def _sweep(settings: Settings, arm: str) -> Iterator[tuple[str, Settings]]:
    """The arm's settings, once for each combination of values where settings are lists."""
    settings = arm_settings(settings, arm)
    lists = _swept_lists(settings, settings.arms[arm])
    keys = [path[-1] for path in lists]
    for values in itertools.product(*lists.values()):
        of_values = settings
        for path, value in zip(lists, values, strict=True):
            of_values = _with_value(of_values, path, value)
        pairs = [f"{key}={value:g}" for key, value in zip(keys, values, strict=True)]
        yield (f"{arm}[{','.join(pairs)}]" if pairs else arm), of_values


def _swept_lists(settings: Settings, arm: Arm) -> dict[tuple[str, ...], list[float]]:
    """The lists of values among the settings that the arm reads, by their key paths."""
    paths: list[tuple[str, ...]] = []
    if arm.select is not None:
        paths.append(("select", getattr(settings.select[arm.select], "like", arm.select), "alpha"))
    if arm.classifier == "lm":
        paths += [("finetune", "learning_rate"), ("finetune", "lora", "rank")]
    as_read = {
        "select": {name: selection.as_read() for name, selection in settings.select.items()},
        "finetune": settings.finetune.as_read(stages.reads_audio(arm)),
    }
    values = {path: _value(as_read, path) for path in paths}
    return {
        path: list(dict.fromkeys(value))
        for path, value in values.items()
        if isinstance(value, list)
    }


def _value(settings: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        settings = settings[key] if isinstance(settings, dict) else getattr(settings, key, None)
    return settings


def _with_value(settings: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy with one value replaced, at a path of sections and mappings."""
    if not path:
        return value
    key, *rest = path
    inner = _with_value(_value(settings, (key,)), tuple(rest), value)
    if isinstance(settings, dict):
        return settings | {key: inner}
    return settings.model_copy(update={key: inner})


def _fold_names(settings: Settings) -> list[str]:
    folds = settings.dataset.folds
    has_groups = folds.method == "leave_one_group_out"
    return fold_names(folds, group_names(settings.dataset.table) if has_groups else ())


def _n_rows(manifest: Variant) -> int:
    if "corpus" in manifest.upstream:
        demo = manifest.upstream["corpus"].settings.demo
        n_speakers = demo.train_speakers + demo.validation_speakers + demo.test_speakers
        return n_speakers * demo.utterances_per_speaker
    return count_rows(manifest.settings.table, manifest.settings.without)


def _evaluation(settings: Settings, arm_name: str, fold: str, seed: int) -> Variant:
    """The last variant of a run, with all that it reads behind it."""
    arm = settings.arms[arm_name]
    positive_label = settings.evaluate.positive_label
    if arm.classifier == "linear":
        predictions = _linear(settings, arm, fold, seed)
    else:
        predictions = _language_model(settings, arm, fold, seed)
    return Variant(stages.Evaluate(positive_label=positive_label), {"predictions": predictions})


def _linear(settings: Settings, arm: Arm, fold: str, seed: int) -> Variant:
    upstream = {"bow": _bow(settings, fold)}
    if stages.reads_audio(arm):
        upstream["select"] = _selection(settings, arm.select, fold, seed)
    linear = settings.finetune.linear.as_read()
    score = settings.evaluate.as_read(linear.chooses).model_dump()
    seed_read = seed if linear.method == "dummy" else None
    return Variant(
        stages.FitLinear(inputs=arm.inputs, linear=linear, seed=seed_read, **score), upstream
    )


def _language_model(settings: Settings, arm: Arm, fold: str, seed: int) -> Variant:
    token_texts = _token_texts(settings, arm, fold, seed)
    upstream = {"token_texts": token_texts}
    reads_audio = stages.reads_audio(arm)
    if reads_audio and arm.adapt:
        upstream["adapt"] = _adapt(settings, arm, token_texts, fold, seed)
    finetune = Variant(
        stages.FinetuneLM(
            lm=settings.lm.as_read(has_new_rows=reads_audio),
            finetune=settings.finetune.as_read(reads_audio),
            metric=settings.evaluate.as_read(settings.finetune.chooses).metric,
            positive_label=settings.evaluate.positive_label,
            seed=seed,
        ),
        upstream,
    )
    return Variant(stages.Predict(), {"finetune": finetune, "token_texts": token_texts})


def _adapt(settings: Settings, arm: Arm, token_texts: Variant, fold: str, seed: int) -> Variant:
    """Adaptation to the fold's token texts, or to a corpus, in which test rows are looked for."""
    upstream, options = {"token_texts": token_texts}, {}
    if corpus := settings.adapt.corpus:
        texts = _texts_of_corpus(settings, arm, fold, seed)
        upstream = {
            "token_texts": texts,
            "corpus": texts.upstream["manifest"],
            "manifest": _manifest(settings),
            "folds": _folds(settings),
        }
        own = upstream["manifest"].settings.table
        options = {"fold": fold, "by_id": None not in (own.columns.id, corpus.columns.id)}
    return Variant(
        stages.AdaptLM(
            lm=settings.lm.as_read(has_own_precision=settings.adapt.weights == "fp32"),
            adapt=settings.adapt.as_read(),
            seed=seed,
            **options,
        ),
        upstream,
    )


def _token_texts(settings: Settings, arm: Arm, fold: str, seed: int) -> Variant:
    upstream = {"manifest": _manifest(settings), "folds": _folds(settings)}
    if stages.reads_audio(arm):
        upstream["codes"] = _codes(settings, fold)
        upstream["select"] = _selection(settings, arm.select, fold, seed)
    return Variant(stages.TokenTexts(inputs=arm.inputs, fold=fold), upstream)


def _texts_of_corpus(settings: Settings, arm: Arm, fold: str, seed: int) -> Variant | None:
    """Token texts of the corpus to adapt to, by the fold's tokenizer and selection."""
    corpus = settings.adapt.corpus
    if corpus is None:
        return None
    without = ["label", "split", "group"]
    manifest = Variant(
        stages.Manifest(
            table=corpus.as_read(without),
            on_bad=settings.audio.on_bad,
            max_bad_share=settings.audio.max_bad_share,
            without=without,
        )
    )
    codes = _codes(settings, fold)
    codes = Variant(codes.settings, codes.upstream | {"manifest": manifest})
    select = _selection(settings, arm.select, fold, seed)
    return Variant(
        stages.TokenTexts(inputs=arm.inputs),
        {"manifest": manifest, "codes": codes, "select": select},
    )


def _selection(settings: Settings, name: str, fold: str, seed: int) -> Variant:
    selection = settings.select[name]
    upstream = {"bow": _bow(settings, fold)}
    options: dict[str, Any] = {}
    as_read = selection.as_read()
    if isinstance(selection, LassoSelection):
        upstream["path"] = _lasso_path(selection, upstream["bow"])
        options = settings.evaluate.as_read(selection.is_cross_validated).model_dump()
        as_read = as_read.with_defaults("n_subsamples")
    elif not isinstance(selection, AllTokens):
        upstream["like"] = _selection(settings, selection.like, fold, seed)
        if isinstance(selection, RandomSelection | RankedSelection):
            options["layers"] = getattr(settings.select[selection.like], "layers", None)
        if isinstance(selection, RandomSelection):
            options |= {"seed": seed, "fold": fold}
    return Variant(stages.SelectTokens(selection=as_read, **options), upstream)


def _description(settings: Settings, name: str, select: Variant, fold: str) -> Variant | None:
    """The evidence for a selection; chance and "all" need none."""
    selection = settings.select[name]
    if isinstance(selection, RandomSelection | AllTokens):
        return None
    upstream = {"select": select, "manifest": _manifest(settings), "codes": _codes(settings, fold)}
    settled = stages.DescribeSelection(selection=selection.as_read())
    return Variant(settled, upstream | select.upstream)


def _lasso_path(selection: LassoSelection, bow: Variant) -> Variant:
    fields = set(LassoFitting.model_fields)
    fitting = LassoFitting.model_validate(selection.model_dump(include=fields))
    return Variant(stages.LassoPath(fitting=fitting), {"bow": bow})


def _bow(settings: Settings, fold: str) -> Variant:
    upstream = {"manifest": _manifest(settings), "folds": _folds(settings)}
    has_audio = _has_audio(settings)
    if has_audio:
        upstream["codes"] = _codes(settings, fold)
    return Variant(
        stages.BagOfWordsCounts(bow=settings.bow.as_read(has_audio), fold=fold), upstream
    )


def _has_audio(settings: Settings) -> bool:
    return settings.dataset.source == "demo" or settings.dataset.table.columns.audio is not None


def _codes(settings: Settings, fold: str) -> Variant:
    """Codes of a pretrained tokenizer are the same in all folds, and so are made once."""
    tokenizer = settings.tokenizer.as_read()
    upstream = {"manifest": _manifest(settings)}
    if BACKENDS[tokenizer.method].learns:
        upstream["tokenizer"] = Variant(
            stages.FitTokenizer(tokenizer=tokenizer, fold=fold),
            {"manifest": upstream["manifest"], "folds": _folds(settings)},
        )
    return Variant(stages.Codes(tokenizer=tokenizer), upstream)


def _folds(settings: Settings) -> Variant:
    folds = settings.dataset.folds.as_read()
    return Variant(stages.FoldDivision(folds=folds), {"manifest": _manifest(settings)})


def _manifest(settings: Settings) -> Variant:
    audio = settings.audio.as_read(_has_audio(settings))
    if settings.dataset.source == "demo":
        demo = Variant(stages.Corpus(demo=settings.dataset.demo))
        table, upstream = Table(columns=DEMO_COLUMNS), {"corpus": demo}
    else:
        table, upstream = settings.dataset.table.as_read(), {}
    return Variant(
        stages.Manifest(table=table, on_bad=audio.on_bad, max_bad_share=audio.max_bad_share),
        upstream,
    )
