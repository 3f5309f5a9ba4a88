import itertools
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import byte_level_tokenizer, unigram_tokenizer, wordpiece_tokenizer
from tokenizers import AddedToken
from transformers import ByT5Tokenizer

from speechlasso.errors import InputError
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.pretrained import load_tokenizer
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.token_text import MARKERS, new_token_names, token_text

N_AUDIO = 30


def extended(tokenizer):
    tokenizer.add_tokens(
        [
            AddedToken(name, special=False, normalized=False, lstrip=True, rstrip=False)
            for name in new_token_names(N_AUDIO)
        ]
    )
    return tokenizer


TOKENIZERS = {
    "all-MiniLM-L6-v2": extended(load_tokenizer(LanguageModel())),
    "wordpiece": extended(wordpiece_tokenizer()),
    "byte-level": extended(byte_level_tokenizer(start=False)),
    "byte-level with start": extended(byte_level_tokenizer(start=True)),
    # Whose pieces hold the names of special tokens as well.
    "unigram": extended(unigram_tokenizer()),
    # Without the library tokenizers behind it.
    "slow": extended(ByT5Tokenizer(extra_ids=0)),
}


def frame(text, audio_tokens):
    return pd.DataFrame({"id": ["u1"], "text": [text], "audio_tokens": [audio_tokens]})


ranks = st.lists(st.integers(0, N_AUDIO - 1), max_size=20)
# Nothing that begins as the name of a special token does.
prose = st.text(st.characters(exclude_characters="<["), max_size=60) | st.sampled_from(
    ["", "  a cat", " \u2003", "cat\n\n dog\x85", "\x1c", "The CAT , saw"]
)
names = st.sampled_from(
    [*new_token_names(3), "[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "<|begin|>", "<|end|>"]
    + ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "[sep]", "<s<s>>", "＜/s＞"]
)
spelling = st.lists(names | st.sampled_from(["cat", " ", " dog ", "<", "[", "."]), max_size=8)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=st.none() | prose, audio_tokens=st.none() | ranks)
@settings(max_examples=30, deadline=None)
def test_ordinary_texts_are_what_the_tokenizer_makes_of_the_token_text(name, text, audio_tokens):
    tokenizer = TOKENIZERS[name]
    expected = tokenizer(token_text(text, audio_tokens))["input_ids"]
    if not expected:
        with pytest.raises(InputError, match="u1"):
            encode(tokenizer, frame(text, audio_tokens), max_length=10_000)
        return
    row = encode(tokenizer, frame(text, audio_tokens), max_length=10_000).iloc[0]
    assert row["input_ids"].tolist() == expected
    assert not row["cut"]
    assert row["n_audio_tokens"] == len(audio_tokens or [])


def readable(tokenizer, ids):
    """What tokens of text say, without the blanks that a tokenizer may add."""
    return "".join(tokenizer.decode(ids).lower().replace("##", "").split())


@pytest.mark.parametrize("name", TOKENIZERS)
@given(parts=spelling.filter(any), audio_tokens=st.none() | ranks)
@settings(max_examples=40, deadline=None)
def test_text_that_spells_our_tokens_or_those_of_the_model_stays_text(name, parts, audio_tokens):
    tokenizer, text = TOKENIZERS[name], "".join(parts)
    if not text.strip() and audio_tokens is None:
        return
    ids = encode(tokenizer, frame(text, audio_tokens), 10_000).loc[0, "input_ids"].tolist()
    empty = encode(tokenizer, frame("cat", audio_tokens), 10_000).loc[0, "input_ids"].tolist()
    n_words = len(
        tokenizer("cat" if audio_tokens is None else " cat", add_special_tokens=False).input_ids
    )
    start = len(special_before(tokenizer)) + (audio_tokens is not None)
    words = ids[start : start + len(ids) - len(empty) + n_words]
    # Around the words all is as around any others.
    assert ids[:start] == empty[:start] and ids[start + len(words) :] == empty[start + n_words :]
    reserved = {
        *tokenizer.all_special_ids,
        *tokenizer.convert_tokens_to_ids(new_token_names(N_AUDIO)),
    }
    unknown = {tokenizer.unk_token_id}
    assert not (reserved - unknown) & set(words)
    if not unknown & set(words):
        plain = unicodedata.normalize("NFKC", text).lower().split()
        assert unicodedata.normalize("NFKC", readable(tokenizer, words)) == "".join(plain)


def special_before(tokenizer):
    mask = tokenizer("cat", return_special_tokens_mask=True)["special_tokens_mask"]
    return list(itertools.takewhile(bool, mask))


def test_a_spelled_unknown_token_is_no_unknown_word():
    tokenizer = TOKENIZERS["wordpiece"]
    row = encode(tokenizer, frame("a [UNK] cat", None), 50).iloc[0]
    # Brackets are unknown to it, the letters between them are not.
    tokens = ["[CLS]", "a", "[UNK]", "u", "##n", "##k", "[UNK]", "cat", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == tokens


@pytest.mark.parametrize("name", TOKENIZERS)
def test_no_space_around_audio_tokens_becomes_a_token(name):
    tokenizer = TOKENIZERS[name]
    ids = encode(tokenizer, frame("a cat", [4, 2, 2]), 100).loc[0, "input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    end = tokens.index("<|text_end|>")
    assert tokens[end : end + 6] == [
        "<|text_end|>",
        "<|audio|>",
        "<audio_token_4>",
        "<audio_token_2>",
        "<audio_token_2>",
        "<|audio_end|>",
    ]
    words = tokens[tokens.index("<|text|>") + 1 : end]
    assert tokenizer.convert_tokens_to_string(words).strip() == "a cat"
    assert words[-1] not in ("Ġ", " ")


@pytest.mark.parametrize("name", TOKENIZERS)
@given(n_words=st.integers(0, 40), n_audio=st.integers(0, 40), max_length=st.integers(16, 60))
@settings(max_examples=30, deadline=None)
def test_a_cut_keeps_the_frame_and_half_the_room_for_each_part(name, n_words, n_audio, max_length):
    tokenizer = TOKENIZERS[name]
    example = frame(" ".join(["cat"] * n_words), [i % N_AUDIO for i in range(n_audio)])
    whole = encode(tokenizer, example, 10_000).iloc[0]
    row = encode(tokenizer, example, max_length).iloc[0]

    assert row["cut"] == (len(whole["input_ids"]) > max_length)
    assert len(row["input_ids"]) == min(max_length, len(whole["input_ids"]))
    n_frame = len(whole["input_ids"]) - whole["n_text_tokens"] - whole["n_audio_tokens"]
    half = (max_length - n_frame) // 2
    for part in ("n_text_tokens", "n_audio_tokens"):
        assert row[part] >= min(whole[part], half)
    assert len(row["input_ids"]) == n_frame + row["n_text_tokens"] + row["n_audio_tokens"]

    # Each part keeps its beginning, and everything that is neither text nor audio stays in place.
    tokens = tokenizer.convert_ids_to_tokens(row["input_ids"])
    whole_tokens = tokenizer.convert_ids_to_tokens(whole["input_ids"])
    positions, whole_positions = map(tokens.index, MARKERS), map(whole_tokens.index, MARKERS)
    text, text_end, audio, audio_end = positions
    whole_text, _, whole_audio, whole_audio_end = whole_positions
    assert tokens[:text_end] == whole_tokens[: whole_text + text_end - text]
    assert tokens[audio:audio_end] == whole_tokens[whole_audio:][: audio_end - audio]
    assert tokens[audio_end:] == whole_tokens[whole_audio_end:]


def test_text_alone_is_cut_before_its_closing_special_token():
    tokenizer = TOKENIZERS["wordpiece"]
    row = encode(tokenizer, frame("cat dog " * 20, None), max_length=16).iloc[0]
    tokens = tokenizer.convert_ids_to_tokens(row["input_ids"])
    assert tokens == ["[CLS]", *["cat", "dog"] * 7, "[SEP]"]
    assert (row["cut"], row["n_text_tokens"], row["n_audio_tokens"]) == (True, 14, 0)


def test_missing_text_may_come_as_nan_from_a_table():
    tokenizer = TOKENIZERS["wordpiece"]
    row = encode(tokenizer, frame(np.nan, np.array([1, 2])), max_length=50).iloc[0]
    assert row["input_ids"].tolist() == tokenizer(token_text(None, [1, 2]))["input_ids"]


def test_rows_keep_the_index_of_the_examples():
    examples = pd.concat([frame("cat", [1]), frame("dog", [2])]).set_index(pd.Index([7, 3]))
    assert encode(TOKENIZERS["wordpiece"], examples, 50).index.tolist() == [7, 3]


def test_unknown_audio_tokens_are_all_named():
    examples = pd.DataFrame(
        {"id": ["u1", "u2", "u3"], "text": ["cat"] * 3, "audio_tokens": [[1, 30], [2], [99]]}
    )
    with pytest.raises(InputError) as error:
        encode(TOKENIZERS["wordpiece"], examples, 50)
    message = str(error.value)
    assert "u1: <audio_token_30>" in message and "u3: <audio_token_99>" in message
    assert "u2" not in message


def test_a_model_of_text_alone_refuses_audio():
    with pytest.raises(InputError, match=r"u1: <\|text\|>"):
        encode(wordpiece_tokenizer(), frame("cat", [1]), 50)
