"""Every single setting, changed: keys change exactly where something reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from typing import Any

import pandas as pd
import pytest

from speechlasso.errors import InputError
from speechlasso.experiment.load import json_schema, load_settings, merged
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings

NUMBER_OF_PROCESSES_AND_MEMORY = [
    *("*.micro_batch_size", "*.gradient_checkpointing", "*.processes", "lm.compile"),
]
HOW_ONLY = [
    *NUMBER_OF_PROCESSES_AND_MEMORY,
    *("audio.shard_size", "audio.max_bad_share", "adapt.self_powered.batch_size"),
    "evaluate.more_metrics",  # the project's own are always there
    *("evaluate.reference", "evaluate.margin"),  # which the tables alone read
]

# Each experiment, and the settings that nothing in it reads.
EXPERIMENTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the default arms": (
        {"encoder": {"layers": "all"}},
        [
            *("dataset.table.*", "dataset.folds.n_folds", "dataset.folds.only"),
            "dataset.folds.n_inner_folds",
            *("select.lasso.top_k", "select.lasso.cv_folds", "select.lasso.one_standard_error"),
            *("finetune.lora.*", "arms.bow_linear_all.*", "arms.pooled_linear.*"),
            *("arms.learned.*", "arms.small_speech_lm.*", "arms.speech_lm.*"),
            *("arms.mfcc_linear.*", "arms.mfcc_lstm.*", "arms.text_ssl.*"),
            *("tokenizer.segment_seconds", "adapt.self_powered.*"),
        ],
    ),
    "other ways": (
        {
            "experiment": {
                "arms": [
                    *("cv", "stable", "ranked", "chance", "pooled"),
                    *("heard", "classic", "recurrent", "joined", "asked", "whole"),
                ]
            },
            "arms": {
                "cv": {"select": "cv"},
                "stable": {"select": "stable", "adapt": False},
                "ranked": {"select": "ranked", "adapt": False},
                "chance": {"select": "sized", "system": "bow_linear", "classifier": "dummy"},
                "pooled": {"system": "pooled_linear", "layers": [2]},
                "heard": {"system": "learned", "layers": [2]},
                "classic": {"system": "mfcc_linear"},
                "recurrent": {"system": "mfcc_lstm"},
                "joined": {"system": "text_ssl", "layers": [2]},
                "asked": {"system": "small_speech_lm", "layers": [2], "training": "lora"},
                "whole": {"system": "speech_lm", "training": "lora"},
            },
            "select": {
                "cv": {
                    "method": "lasso",
                    "frequency_exponent": 0.5,
                    "alpha": "cv",
                    "threshold": "top_k",
                    "top_k": 5,
                },
                "sized": {"method": "lasso", "n_tokens": 9, "n_subsamples": 0},
                "stable": {"method": "stability", "like": "sized"},
                "ranked": {"method": "chi_square", "like": "sized"},
            },
            "dataset": {
                "folds": {"method": "stratified", "only": ["1"], "choose_on": "inner_folds"}
            },
            "tokenizer": {"method": "mimi"},
            "encoder": {"layers": "all"},
            "adapt": {"corpus": {"path": "table.csv"}, "weights": "bf16"},
            "finetune": {"method": "lora", "epochs": 1, "schedule": {"scheme": "direct_mix"}},
        },
        [
            *("dataset.table.*", "dataset.folds.validation_share"),
            # Of a codec that learned nothing here, new rows start near the mean either way.
            *("adapt.splits", "adapt.corpus.columns.label", "lm.new_rows", "adapt.self_powered.*"),
            *(f"adapt.corpus.columns.{name}" for name in ("split", "group", "language", "more")),
            "arms.asked.transcription.mask_probability",
            *("select.sized.alpha", "select.sized.top_k", "select.*.one_standard_error"),
            *(
                "select.sized.cv_folds",
                "arms.chance.C",
                "arms.chance.weighting",
                "arms.chance.scaling",
            ),
        ],
    ),
    "texts alone": (
        {
            "experiment": {"arms": ["words", "counts"]},
            "arms": {
                "words": {"inputs": ["text"]},
                "counts": {"inputs": ["text"], "system": "bow_linear", "C": [1.0]},
            },
            "dataset": {
                "source": "table",
                "table": {"path": "table.csv", "columns": {"audio": None, "group": "speaker"}},
                "folds": {"method": "leave_one_group_out"},
            },
            "finetune": {"epochs": 1},
        },
        [
            *("dataset.demo.*", "dataset.table.audio_*", "dataset.folds.n_folds"),
            *(
                "dataset.folds.only",
                "dataset.folds.n_inner_folds",
                "audio.*",
                "encoder.*",
                "tokenizer.*",
                "bow.layers",
                "select.*",
                "adapt.*",
            ),
            *("lm.new_rows", "finetune.splice", "finetune.token_dropout"),
            *("finetune.new_rows_rate", "finetune.lora.*", "finetune.schedule", "evaluate.metric"),
        ],
    ),
}
# Settings whose change another test looks at, or that make another experiment.
ELSEWHERE = [
    "experiment.*",
    "dataset.source",
    "seeds",
    "plugins",
    *(f"arms.*.{key}" for key in ("system", "inputs", "select", "adapt", "arms", "override")),
    "arms.*.predict_inputs",
    "select.*.method",
    "*.path",
    "select.*.frequency*",
    "adapt.self_powered.instructions",
]
# "stable" and "cv" differ from the others in one reading each.
EXCEPTIONS = {"other ways": {"select.cv.one_standard_error"}}


@pytest.fixture
def table(tmp_path, monkeypatch):
    rows = [(f"u{i}", "hello", "ab"[i % 2], "x.wav", f"s{i % 3}", i % 3) for i in range(12)]
    columns = ["id", "text", "label", "audio", "speaker", "other"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "table.csv", index=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_setting_changes_keys_exactly_where_something_reads_it(name, table):
    config, unread = EXPERIMENTS[name]
    settings = load_settings(config | {"seeds": [1]})
    before = keys(settings)
    unchanged, tried = set(), set()
    for path, value in leaves(settings.model_dump(mode="json")):
        if any(fnmatch(path, pattern) for pattern in ELSEWHERE):
            continue
        tried.add(path)
        if keys_of_other(settings, path, value) <= before:
            unchanged.add(path)
    patterns = [*HOW_ONLY, *unread]
    expected = {path for path in tried if any(fnmatch(path, pattern) for pattern in patterns)}
    assert unchanged == expected - EXCEPTIONS.get(name, set())
    assert len(tried) > 60


def keys(settings: Settings) -> set[tuple[str, str]]:
    variants = make_plan(settings).variants
    return {(stage, key) for stage, of_stage in variants.items() for key in of_stage}


def leaves(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def keys_of_other(before: Settings, path: str, value: Any) -> set[tuple[str, str]]:
    """Keys of the experiment with another valid value of one setting."""
    for other in candidates(path, value):
        nested = other
        for key in reversed(path.split(".")):
            nested = {key: nested}
        try:
            after = load_settings(merged(before.model_dump(mode="json"), nested))
            if after != before:
                return keys(after)
        except InputError:
            continue
    raise AssertionError(f"no other value found for {path}")


def candidates(path: str, value: Any) -> Iterator[Any]:
    if ".columns." in path:
        yield from ("other", "speaker", ["other"])
    if path == "adapt.corpus":
        yield {"path": "table.csv"}
    if path == "finetune.schedule":
        yield {"scheme": "direct_mix"}
    if path.endswith(".target_language"):
        yield "en"
    if path.endswith(".model_class"):
        yield "VoxtralForConditionalGeneration"
    if path.endswith(".prompt"):
        yield "{labels} or {text}"
    if path.endswith(".like"):
        yield from ("all", "cv")
    if path == "encoder.layers":
        yield [2, 3]
    if path == "dataset.folds.only":
        yield from (["given"], ["s1"], ["2"])
    if path == "evaluate.reference":
        yield from ("lasso", "cv", "words")
    if path == "evaluate.more_metrics":
        yield ["uar"]
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value * 0.5, value + 0.25)
    yield from named_values(path.split(".")[-1])
    yield from (3, 0.25, [3], "other", ["text"], ["test"], "macro_f1")


def named_values(key: str) -> list[Any]:
    """What the schema allows a setting of this name to be, where it lists values."""
    found = []
    for definition in schema()["$defs"].values():
        rule = definition["properties"].get(key, {})
        for alternative in (rule, *rule.get("anyOf", [])):
            found += alternative.get("enum", [])
    return found


@cache
def schema() -> dict[str, Any]:
    return json.loads(json_schema())
