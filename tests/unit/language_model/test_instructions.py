"""Files of instructions, and what is drawn from them for each utterance."""

from __future__ import annotations

import pandas as pd
import pytest

from speechlasso.errors import InputError
from speechlasso.language_model.instructions import (
    TRANSCRIPT,
    UNRELATED,
    Instructions,
    questions,
)
from speechlasso.language_model.settings import SelfPowered

KINDS = ["continue", "paraphrase", "repeat", "key_words", "sentiment", "intent", "translate"]


def rows(n):
    return pd.DataFrame({"id": [f"u{i}" for i in range(n)], "split": "train", "text": "a cat"})


def asked(n=200, holdout=0.1, **settings):
    return questions(rows(n), Instructions.read(), SelfPowered(**settings), holdout)


def test_the_package_has_several_wordings_of_every_kind():
    instructions = Instructions.read()
    assert list(instructions.about_speech) == KINDS
    for wordings in (*instructions.about_speech.values(), instructions.unrelated):
        assert len(set(wordings)) == len(wordings) >= 3


def test_every_utterance_gets_different_kinds_and_all_wordings_occur():
    found = asked(answers_per_utterance=3)
    about = found[found["kind"].isin(KINDS)]
    per_utterance = about.groupby("id")["kind"]
    assert (per_utterance.size() == 3).all() and (per_utterance.nunique() == 3).all()
    known = Instructions.read()
    for kind, wordings in known.about_speech.items():
        assert set(about.loc[about["kind"] == kind, "instruction"]) == set(wordings)
    assert set(found.loc[found["kind"] == UNRELATED, "instruction"]) == set(known.unrelated)


def test_an_utterance_gets_the_same_whatever_the_other_rows_are():
    whole = asked()
    some = questions(rows(200)[50:90][::-1], Instructions.read(), SelfPowered(), 0.1)
    about = [t[t["kind"].isin(KINDS)].drop(columns="held_out") for t in (whole, some)]
    ids = set(some["id"])
    expected = about[0][about[0]["id"].isin(ids)].sort_values(["id", "kind"])
    found = about[1].sort_values(["id", "kind"])
    assert found.to_numpy().tolist() == expected.to_numpy().tolist()
    assert not asked(seed=2).equals(whole)


def test_a_share_is_held_out_and_asked_beside_the_speech_as_well():
    found = asked(answers_per_utterance=2)
    held_out = found.groupby("id")["held_out"].first()
    assert held_out.sum() == 20
    kinds = found.groupby("id")["kind"].agg(list)
    extra = kinds.map(lambda of: [kind for kind in of if kind not in KINDS])
    assert (extra[held_out].map(len) == 3).all() and (extra[~held_out].map(len) == 0).all()
    assert extra[held_out].iloc[0] == [UNRELATED, UNRELATED, TRANSCRIPT]
    assert (found.loc[found["kind"] == TRANSCRIPT, "instruction"] == "").all()
    assert asked(n=3)["held_out"].any()


def test_more_kinds_than_there_are_name_the_key():
    with pytest.raises(InputError, match=r"answers_per_utterance: 8 are more than the 7 kinds"):
        asked(answers_per_utterance=8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about_speech: {repeat: [Again]}", "unrelated: Field required"),
        ("unrelated: [Go]", "about_speech: Field required"),
        ("{about_speech: {}, unrelated: [Go]}", "about_speech: Dictionary should have at least 1"),
        ("{about_speech: {repeat: []}, unrelated: [Go]}", "about_speech.repeat: List should have"),
        ("{about_speech: {repeat: [yes]}, unrelated: [' ']}", "about_speech.repeat.0: Input"),
        ("{about_speech: {repeat: [yes]}, unrelated: [' ']}", "unrelated.0: String should have"),
        ("{about_speech: {repeat: [A], unrelated: [B]}, unrelated: [C]}", "has another meaning"),
        ("{about_speech: {repeat: [A]}, unrelated: [C], more: 1}", "more: Extra inputs"),
        ("about_speech: [", "cannot be read as YAML"),
        ("", "holds no instructions"),
    ],
)
def test_a_wrong_file_is_named_with_its_keys(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        Instructions.read(path)
    assert str(path) in str(error.value) and message in str(error.value)
