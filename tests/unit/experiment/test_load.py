"""The configuration: every mistake found, named and explained; files in step with the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml

from speechlasso.errors import InputError
from speechlasso.experiment.load import (
    METHOD_KEYS,
    arm_settings,
    json_schema,
    load_settings,
    merged,
)
from speechlasso.experiment.settings import Settings
from speechlasso.registry import OneOf

DEFAULTS = Settings().model_dump()
REPOSITORY = Path(__file__).resolve().parents[3]


def message_for(raw: dict) -> str:
    with pytest.raises(InputError) as caught:
        load_settings(raw)
    return str(caught.value)


def test_config_yaml_spells_out_every_default():
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    assert load_settings(raw) == Settings()
    assert raw == Settings().model_dump(mode="json"), "config.yaml must show every key"


def test_json_schema_is_in_step():
    written = (REPOSITORY / "config.schema.json").read_text()
    assert written == json_schema(), "run: make schema"


def test_merging_knows_every_place_where_one_of_several_methods_is_chosen():
    found = {}
    for name, field in Settings.model_fields.items():
        values = [getattr(part, "__metadata__", ()) for part in get_args(field.annotation)]
        for path, metadata in [((name,), field.metadata), *(((name, "*"), v) for v in values)]:
            found.update((path, one.key) for one in metadata if isinstance(one, OneOf))
    assert found == METHOD_KEYS


def test_every_key_has_a_description():
    schema = Settings.model_json_schema()
    for name, section in schema["$defs"].items():
        for key, field in section["properties"].items():
            if "$ref" not in field:
                assert field.get("description"), f"{name}.{key} has no description"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").glob("*.yaml")))
def test_experiments_are_valid_on_top_of_config_yaml(path):
    base = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    load_settings(merged(base, yaml.safe_load(path.read_text())))


def test_unknown_keys_are_refused_with_the_nearest_known_name():
    message = message_for({"finetune": {"learning_rat": 1}, "tokeniser": {}})
    assert "finetune.learning_rat: unknown key; did you mean 'learning_rate'?" in message
    assert "tokeniser: unknown key; did you mean 'tokenizer'?" in message
    assert "2 mistakes" in message


def test_a_key_of_another_method_is_told_from_an_unknown_one():
    tokenizer = {"method": "spectral_rvq", "model": "kyutai/mimi", "layer": 3, "sed": 1}
    message = message_for({"tokenizer": tokenizer})
    assert (
        "tokenizer.model: not a key of this method, but of encodec, mimi, dac, xcodec, ssl_units"
        in message
    )
    assert "tokenizer.layer: not a key of this method, but of ssl_units" in message
    assert "tokenizer.sed: unknown key; did you mean 'seed'?" in message
    assert "3 mistakes" in message


def test_a_method_is_one_that_has_a_card():
    message = message_for({"tokenizer": {"method": "mimmi"}})
    assert "tokenizer.method: no tokenizer is called 'mimmi'; did you mean 'mimi'?" in message


def test_keys_that_a_method_needs_are_explained():
    message = message_for({"tokenizer": {"method": "speechtokenizer"}})
    assert "tokenizer.checkpoint: missing: the official checkpoint file" in message
    assert "tokenizer.config: missing: the config.json published with" in message


def test_a_string_where_a_number_belongs():
    message = message_for({"finetune": {"epochs": "many"}})
    assert "finetune.epochs" in message
    assert "'many'" in message
    assert "integer" in message


def test_numbers_that_yaml_reads_as_strings_are_numbers():
    settings = load_settings({"finetune": yaml.safe_load("learning_rate: 1e-3")})
    assert settings.finetune.learning_rate == 1e-3


def test_all_mistakes_at_once():
    message = message_for(
        {
            "dataset": {"source": "table", "folds": {"n_folds": "x"}},
            "experiment": {"arms": ["laso"]},
            "select": {"lasso": {"method": "lasso", "alpah": 1, "threshold": "top_k"}},
            "seeds": [1, 1],
        }
    )
    for path in (
        "dataset.folds.n_folds",
        "dataset.table.path",
        "dataset.table.columns.split",
        "experiment.arms.0",
        "select.lasso.alpah: unknown key; did you mean 'alpha'?",
        "select.lasso.top_k",
        "seeds",
    ):
        assert path in message


def test_an_arm_must_name_a_selection_that_exists():
    arms = {"one": {"select": "laso"}, "two": {}, "three": {"inputs": ["text"], "select": "all"}}
    message = message_for({"arms": arms, "experiment": {"arms": ["one"]}})
    assert "arms.one.select: no selection is named 'laso'; did you mean 'lasso'?" in message
    assert "arms.two.select: an arm that reads audio needs a selection" in message
    assert "arms.three.select: an arm without audio" in message


@pytest.mark.parametrize("alpha", ["cb", [], [1, "x"], -1, [0], {"a": 1}])
def test_a_bad_alpha_gets_one_message(alpha):
    message = message_for(merged(DEFAULTS, {"select": {"lasso": {"alpha": alpha}}}))
    assert "1 mistake:" in message
    assert "select.lasso.alpha: value error, should be a positive number, a list" in message


@pytest.mark.parametrize(
    ("alpha", "expected"), [("1e1", 10.0), ([3, "4"], [3.0, 4.0]), ("cv", "cv")]
)
def test_good_alphas(alpha, expected):
    settings = load_settings(merged(DEFAULTS, {"select": {"lasso": {"alpha": alpha}}}))
    assert settings.select["lasso"].alpha == expected


def test_overrides_are_checked_and_name_the_arm():
    arms = {"mine": {"select": "lasso", "override": {"lm": {"max_lenght": 10}}}}
    message = message_for({"arms": arms, "experiment": {"arms": ["mine"]}})
    assert "arms.mine.override.lm.max_lenght: unknown key; did you mean 'max_length'?" in message
    arms["mine"]["override"] = {"seeds": [3]}
    message = message_for({"arms": arms, "experiment": {"arms": ["mine"]}})
    assert "arms.mine.override.seeds: an arm can override these sections only" in message


def test_positive_f1_needs_the_positive_label():
    assert "evaluate.positive_label" in message_for({"evaluate": {"metric": "positive_f1"}})


def test_only_arms_that_run_are_compared_with():
    message = message_for({"experiment": {"arms": ["lasso"]}, "evaluate": {"reference": "random"}})
    assert "evaluate.reference: no arm of experiment.arms is 'random'; known here: lasso" in message
    assert "evaluate.reference: no arm of" in message_for({"evaluate": {"reference": "laso"}})
    assert load_settings({"evaluate": {"reference": "lasso"}}).evaluate.reference == "lasso"
    assert "evaluate.margin" in message_for({"evaluate": {"margin": -0.01}})


def test_an_override_reaches_its_arm_alone():
    arms = Settings().model_dump()["arms"]
    arms["lasso"]["override"] = {"finetune": {"method": "lora", "lora": {"rank": 8}}}
    settings = load_settings({"arms": arms})
    assert arm_settings(settings, "lasso").finetune.lora.rank == 8
    assert arm_settings(settings, "lasso").finetune.epochs == Settings().finetune.epochs
    assert arm_settings(settings, "random").finetune == Settings().finetune


def test_arms_that_read_audio_need_the_column():
    dataset = {
        "source": "table",
        "table": {"path": "a.csv", "columns": {"audio": None, "split": "split"}},
    }
    with pytest.raises(InputError, match=r"audio_only, bow_linear, lasso, random; name the column"):
        load_settings({"dataset": dataset})
    load_settings({"dataset": dataset, "experiment": {"arms": ["text_only"]}})


def test_a_corpus_to_adapt_to_needs_its_path():
    override = {"override": {"adapt": {"corpus": {"audio_root": "there"}}}}
    arms = {"mine": {"select": "lasso", **override}}
    with pytest.raises(InputError) as error:
        load_settings({"adapt": {"corpus": {"columns": {"id": "name"}}}, "arms": arms})
    assert "\n  - adapt.corpus.path: the path" in str(error.value)
    assert "arms.mine.override.adapt.corpus.path: the path" in str(error.value)


def test_an_arm_stands_in_an_experiment_once():
    with pytest.raises(InputError, match="'lasso' stands there 2 times"):
        load_settings({"experiment": {"arms": ["lasso", "random", "lasso"]}})


def test_a_corpus_needs_audio():
    corpus = {"path": "a.csv", "columns": {"audio": None}}
    with pytest.raises(InputError, match=r"adapt\.corpus\.columns\.audio: null"):
        load_settings({"adapt": {"corpus": corpus}})


SEEDS = [
    "dataset.demo.seed",
    "dataset.folds.seed",
    "tokenizer.seed",
    "select.lasso.seed",
]


@pytest.mark.parametrize("path", SEEDS)
def test_a_seed_is_what_every_generator_takes(path):
    def with_seed(seed):
        for key in reversed(path.split(".")):
            seed = {key: seed}
        return merged(DEFAULTS, seed)

    assert f"{path}: input should be greater than or equal to 0" in message_for(with_seed(-1))
    assert f"{path}: input should be less than 4294967296" in message_for(with_seed(2**32))
    largest = load_settings(with_seed(2**32 - 1)).model_dump()
    for key in path.split("."):
        largest = largest[key]
    np.random.RandomState(largest)


def test_every_seed_is_of_one_type():
    sections = json.loads(json_schema())["$defs"].values()
    seeds = [
        section["properties"]["seed"] for section in sections if "seed" in section["properties"]
    ]
    assert len(seeds) >= len(SEEDS)
    assert {(seed["minimum"], seed["exclusiveMaximum"]) for seed in seeds} == {(0, 2**32)}


@pytest.mark.parametrize("seeds", [[-1], [2**32], [1, "01"], [1, 1.0]])
def test_seeds_of_the_runs_are_distinct_and_in_range(seeds):
    assert "seeds" in message_for({"seeds": seeds})


def test_arms_that_read_what_a_table_lacks_are_named_for_text_and_audio():
    table = {"path": "t.csv", "columns": {"split": "split", "text": None}}
    raw = {"dataset": {"source": "table", "table": table}}
    corpus = {"path": "c.csv", "columns": {"text": None}}
    with pytest.raises(InputError) as caught:
        load_settings(raw | {"adapt": {"corpus": corpus}})
    message = str(caught.value)
    readers = "bow_linear, lasso, random"
    assert (
        f"dataset.table.columns.text: null, but these arms read text: {readers}, text_only; name "
        "the column, or run arms with inputs: [audio]"
    ) in message
    assert f"adapt.corpus.columns.text: null, but these arms read text: {readers};" in message
    load_settings(raw | {"experiment": {"arms": ["audio_only"]}})


def test_what_a_system_always_reads_is_looked_for_as_well():
    raw = {"dataset": {"source": "table"}, "experiment": {"arms": ["mfcc_lstm", "text_ssl"]}}
    found = {}
    for missing in ("audio", "text"):
        table = {"path": "t.csv", "columns": {"split": "split", missing: None}}
        found[missing] = message_for(raw | {"dataset": {"source": "table", "table": table}})
    assert "these arms read audio: mfcc_lstm, text_ssl;" in found["audio"]
    assert "these arms read text: text_ssl;" in found["text"]
