"""Words: scikit-learn's where its rule works, and words at all where it does not."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from speechlasso.selection.bag_of_words import count_words
from speechlasso.selection.words import words

scikit_learns_words = CountVectorizer(lowercase=False).build_analyzer()

LATIN = st.text(st.characters(max_codepoint=0x24F, exclude_characters="\u00aa\u00ba"), max_size=40)


@given(st.text(st.characters(max_codepoint=127), max_size=40) | LATIN)
def test_words_without_marks_are_scikit_learns(text):
    composed = unicodedata.normalize("NFC", text)
    assert words(text) == scikit_learns_words(composed)


@pytest.mark.shared
def test_words_of_english_debates_are_scikit_learns(shared_data):
    texts = pd.read_csv(shared_data / "mm_used_fallacy/afc.csv")["text"]
    assert len(texts) > 500
    for text in texts:
        assert words(text) == scikit_learns_words(text)


@pytest.mark.slow
@given(st.text(max_size=30))
def test_composed_and_decomposed_texts_have_the_same_words(text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert words(forms[0]) == words(forms[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L'e\u0301te\u0301 a e\u0301te\u0301 de\u0301ja\u0300", ["été", "été", "déjà"]),
        ("मुझे हिन्दी न आती", ["मुझे", "हिन्दी", "न", "आती"]),
        ("나는 집 에", ["나는", "집", "에"]),
        ("我爱你 2024年", ["我", "爱", "你", "2024", "年"]),
        ("カードが", ["カー", "ド", "が"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("שָׁלוֹם ו עולם", ["שָׁלוֹם", "ו", "עולם"]),
        ("I x̂ 5 я a_b", ["a_b"]),
        ("👍👍 !", []),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert words(text) == [unicodedata.normalize("NFC", word) for word in expected]


def test_one_sentence_in_two_forms_is_one_row_of_counts():
    texts = pd.Series([unicodedata.normalize(form, "déjà vu, naïf") for form in ("NFC", "NFD")])
    counts, vocabulary = count_words(texts, pd.Series([True, False]), lowercase=True)
    assert vocabulary == ["déjà", "naïf", "vu"]
    assert counts.toarray().tolist() == [[1, 1, 1], [1, 1, 1]]


def test_case_is_folded_or_kept():
    texts, training = pd.Series(["Ja ja"]), pd.Series([True])
    assert count_words(texts, training, lowercase=False)[1] == ["Ja", "ja"]
    assert count_words(texts, training, lowercase=True)[1] == ["ja"]
