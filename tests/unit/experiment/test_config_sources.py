"""Configurations from files and from the command line."""

from __future__ import annotations

import pytest

from speechlasso.errors import InputError
from speechlasso.experiment.config_sources import laid_over, read_config_file, with_command_line
from speechlasso.experiment.load import load_settings


@pytest.mark.parametrize("null", ["null", "Null", "NULL", "~", ""])
def test_null_is_null(null):
    config = {"dataset": {"folds": {"only": ["01"], "seed": 4}}, "bow": {"layers": 2}}
    given = [f"dataset={{folds: {{only: {null}}}}}", f"bow={{layers: {null}}}"]
    found = with_command_line(config, given)
    assert found == {"dataset": {"folds": {"only": None, "seed": 4}}, "bow": {"layers": None}}
    settings = load_settings(found)
    assert settings.dataset.folds.only is None and settings.bow.layers is None


def test_what_snakemake_made_of_null_is_replaced():
    config = {"dataset": {"folds": {"only": "null"}}}
    assert with_command_line(config, ["dataset={folds: {only: null}}"])["dataset"] == {
        "folds": {"only": None}
    }


def test_a_quoted_null_and_names_of_digits_stay_texts():
    given = [
        """evaluate={positive_label: "null"}""",
        "dataset={folds: {only: [01, 1e3, no]}}",
        "seeds=[1, 2]",
        "finetune={learning_rate: 1e-4, gradient_checkpointing: true}",
    ]
    settings = load_settings(with_command_line({}, given))
    assert settings.evaluate.positive_label == "null"
    assert settings.dataset.folds.only == ["01", "1e3", "no"]
    assert settings.seeds == [1, 2]
    assert settings.finetune.learning_rate == 1e-4 and settings.finetune.gradient_checkpointing


def test_the_same_key_twice_is_merged_and_the_later_value_wins():
    given = ["select={lasso: {alpha: 3}}", "select={lasso: {alpha: 4}, all: {}}"]
    found = with_command_line({"select": {"lasso": {"method": "lasso"}}}, given)
    assert found == {"select": {"lasso": {"method": "lasso", "alpha": "4"}, "all": {}}}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("seeds", "--config seeds: expected KEY=VALUE"),
        ("dataset={folds: [", "--config dataset=.*not valid YAML"),
        ("dataset={[1]: 2}", "not valid YAML"),
        ("experiment={name: \udcff}", "not valid YAML"),
    ],
)
def test_what_is_no_setting_is_said(argument, message):
    with pytest.raises(InputError, match=message):
        with_command_line({}, [argument])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "not valid YAML"),
        (b"a: \xff", "not valid YAML"),
        (b"- a\n- b\n", "expected sections .* it is a list"),
        (b"seeds", "expected sections .* it is a str"),
    ],
)
def test_a_file_that_is_no_configuration_is_said(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: {message}"):
        read_config_file(str(path))


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "mine.yaml").write_text("# nothing yet\n")
    assert read_config_file(str(tmp_path / "mine.yaml")) == {}


def test_files_are_laid_over_each_other_and_methods_do_not_mix(tmp_path):
    layers = {
        "own": "select: {mine: {method: lasso, alpha: 4.0, layers: [0]}}",
        "first": "select: {mine: {alpha: 5.0}}\nseeds: [1]",
        "second": "select: {mine: {method: stability, alpha: 6.0}}",
    }
    for name, text in layers.items():
        (tmp_path / name).write_text(text)
    own, first, second = (tmp_path / name for name in layers)
    found = laid_over({}, [own], [first])
    assert found["select"]["mine"] == {"method": "lasso", "alpha": 5.0, "layers": [0]}
    found = laid_over({}, [own], [first, second])
    assert found == {"select": {"mine": {"method": "stability", "alpha": 6.0}}, "seeds": [1]}


def test_a_workflow_without_files_of_its_own_has_what_another_one_gave_it(tmp_path):
    assert laid_over({"seeds": [7]}, [], [tmp_path / "unread.yaml"]) == {"seeds": [7]}
