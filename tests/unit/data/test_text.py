"""Texts that look alike are alike."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.data.text import normalised
from speechlasso.trained_model.recipe import Recipe
from speechlasso.trained_model.utterances import single_utterance


def test_composed_and_decomposed_letters_become_one():
    assert normalised("de\u0301ja\u0300 ") == normalised(" d\u00e9j\u00e0") == "d\u00e9j\u00e0"
    assert normalised("\u1112\u1161\u11ab\u1100\u1173\u11af") == "\ud55c\uae00"


@pytest.mark.slow
@given(st.text())
def test_every_spelling_of_a_text_becomes_one_and_stays(text):
    forms = {normalised(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {normalised(text)}
    assert normalised(normalised(text)) == normalised(text)


def test_a_new_utterance_is_normalised_as_training_texts_are():
    recipe = Recipe(inputs=["text"], columns={"text": "text"}, audio_separator="|")
    utterance = single_utterance(recipe, " de\u0301ja\u0300", None)
    assert utterance["text"].tolist() == ["d\u00e9j\u00e0"]
