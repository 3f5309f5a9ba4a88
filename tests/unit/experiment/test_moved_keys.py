"""Keys that earlier versions had elsewhere: each is told its new place, once."""

from __future__ import annotations

import pytest

from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.moved_keys import MOVED, moved_problems
from speechlasso.experiment.settings import OVERRIDABLE_SECTIONS, Settings


def with_tokenizer(**keys):
    return {"tokenizer": {"method": "spectral_rvq", **keys}}


def test_the_message_names_the_new_places_instead_of_an_unknown_key():
    raw = with_tokenizer(spectral_rvq={"n_layers": 2, "seed": 3}) | {"lm": {"nam": "x"}}
    with pytest.raises(InputError) as caught:
        load_settings(raw)
    assert str(caught.value).splitlines()[:-1] == [
        "The configuration has 2 mistakes:",
        "  - tokenizer.spectral_rvq: moved; write tokenizer.n_layers, tokenizer.seed beside "
        "method: spectral_rvq",
        "  - lm.nam: unknown key; did you mean 'name'?",
    ]


def test_a_key_that_moved_is_found_in_overrides_of_arms():
    arms = Settings().model_dump()["arms"]
    arms["lasso"]["override"] = {"tokenizer": {"ssl_units": {"layer": 4}}}
    with pytest.raises(InputError) as caught:
        load_settings({"arms": arms})
    assert str(caught.value).splitlines()[:-1] == [
        "The configuration has 1 mistake:",
        "  - arms.lasso.override.tokenizer.ssl_units: moved; write "
        "arms.lasso.override.tokenizer.layer beside method: ssl_units",
    ]


@pytest.mark.parametrize("value", [None, {}, 3])
def test_a_section_that_moved_is_named_whatever_it_holds(value):
    (problem,) = moved_problems(with_tokenizer(ssl_units=value))
    assert problem == "tokenizer.ssl_units: moved; write tokenizer beside method: ssl_units"


@pytest.mark.parametrize(
    "raw", [{}, {"tokenizer": None}, {"arms": ["lasso"]}, {"arms": {"a": None}}, {"tokenizer": [1]}]
)
def test_what_has_another_shape_is_left_to_other_checks(raw):
    assert not list(moved_problems(raw))


def test_no_key_of_today_counts_as_moved():
    assert not list(moved_problems(Settings().model_dump()))


def test_any_name_may_stand_at_a_star(monkeypatch):
    monkeypatch.setitem(MOVED, "select.*.old", ("evaluate.metric", "instead"))
    raw = {"select": {"one": {"old": 1}, "two": {"new": 2}, "three": {"old": {"x": 1}}}}
    assert list(moved_problems(raw)) == [
        "select.one.old: moved; write evaluate.metric instead",
        "select.three.old: moved; write evaluate.metric.x instead",
    ]
    assert "select" in OVERRIDABLE_SECTIONS


def test_settings_of_arms_that_moved_are_told_with_their_new_place():
    raw = {
        "arms": {"a": {"inputs": ["text"], "classifier": "linear"}},
        "experiment": {"arms": ["a"]},
        "select": {"lasso": {"method": "frequency_lasso"}},
        "finetune": {"linear": {"C": [1.0]}},
    }
    with pytest.raises(InputError) as caught:
        load_settings(raw)
    assert set(str(caught.value).splitlines()[1:-1]) == {
        "  - finetune.linear: moved; write arms.NAME.C for arms with system: bow_linear "
        "(its method is classifier)",
        "  - arms.a.classifier: linear is now written system: bow_linear",
        "  - select.lasso.method: frequency_lasso is now written method: lasso, "
        "frequency_exponent: 0.5",
    }
