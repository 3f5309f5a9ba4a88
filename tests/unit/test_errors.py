"""Messages show what is wrong, but no secret, and no character that steers a terminal."""

from __future__ import annotations

import json
import pickle

import pandas as pd
import pytest

from speechlasso.errors import InputError
from speechlasso.experiment.config_sources import with_command_line
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan
from speechlasso.pipeline.provenance import environment
from speechlasso.trained_model.output import predictions_text

TOKEN = "hf_" + 17 * "aB"
COLUMNS = "columns: {split: split}"


@pytest.mark.parametrize(
    "setting",
    [
        f"lm={{name: x, token: {TOKEN}}}",
        f"token={TOKEN}",
        f"seeds={TOKEN}",
        f"lm={{precision: {TOKEN}}}",
        f"arms={{lasso: {{system: {TOKEN}}}}}",
        f"dataset={{source: table, table: {{path: 'https://me:{TOKEN}@x/a.csv', {COLUMNS}}}}}",
        f"dataset={{source: table, table: {{path: 'https://me:secret@x/a.csv', {COLUMNS}}}}}",
    ],
)
def test_no_token_is_told_of_a_configuration_that_is_wrong(setting):
    with pytest.raises(InputError) as error:
        make_plan(load_settings(with_command_line({}, [setting])))
    assert TOKEN not in str(error.value) and "secret" not in str(error.value)


def test_an_address_keeps_all_but_its_password():
    error = InputError("https://me:secret@host.example/a@b: no such file; mail me@host.example")
    assert str(error) == "https://***@host.example/a@b: no such file; mail me@host.example"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.slow
def test_the_token_of_the_environment_is_no_part_of_what_is_recorded(monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, TOKEN)
    plan = make_plan(load_settings({}))
    variants = [variant for of_stage in plan.variants.values() for variant in of_stage.values()]
    recorded = [(variant.spec, environment(variant.settings)) for variant in variants]
    assert len(recorded) > 20 and TOKEN not in json.dumps(recorded)


def test_a_name_does_not_steer_the_terminal():
    row = {"id": "u\x1b]0;x\x07", "predicted": "a\x9b2J", "p_a\x9b2J": 1.0, "cut": True}
    shown = predictions_text(pd.DataFrame([row]), "screen")
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert str(InputError("u\x1b[2J:\n\tb")) == "u\N{REPLACEMENT CHARACTER}[2J:\n\tb"
