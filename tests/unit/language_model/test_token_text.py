"""Token texts: the order of tokens and the string the LM reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.language_model.token_text import (
    kept_sequence,
    new_token_names,
    token_text,
    token_texts,
)
from speechlasso.tokenizers.codes import Codebooks, CodeTable


def test_frame_by_frame_and_within_a_frame_layer_by_layer():
    codes = np.array([[0, 1, 2], [2, 1, 0]])
    ranks = np.array([[0, 1, -1], [2, -1, 3]])
    assert kept_sequence(codes, ranks).tolist() == [0, 3, 1, 2]


@given(st.integers(0, 10_000))
def test_kept_sequence_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 6, (3, rng.integers(1, 12)))
    ranks = np.where(rng.random((3, 6)) < 0.4, rng.integers(0, 99, (3, 6)), -1)
    expected = [
        ranks[layer, codes[layer, frame]]
        for frame in range(codes.shape[1])
        for layer in range(3)
        if ranks[layer, codes[layer, frame]] >= 0
    ]
    assert kept_sequence(codes, ranks).tolist() == expected


@pytest.mark.parametrize(
    ("text", "audio", "expected"),
    [
        ("so be it", None, "so be it"),
        (None, [2, 0], "<|audio|> <audio_token_2><audio_token_0> <|audio_end|>"),
        ("so", [1], "<|text|> so <|text_end|> <|audio|> <audio_token_1> <|audio_end|>"),
        ("so", [], "<|text|> so <|text_end|> <|audio|>  <|audio_end|>"),
    ],
)
def test_the_string(text, audio, expected):
    assert token_text(text, audio) == expected


def test_new_tokens_are_the_markers_and_one_per_rank():
    names = new_token_names(2)
    assert names[4:] == ["<audio_token_0>", "<audio_token_1>"]
    assert len(set(names)) == 6


class Selection:
    def rank_of_code(self, n_layers, codebook_size):
        return np.arange(n_layers * codebook_size).reshape(n_layers, codebook_size)


def test_examples_find_their_codes_by_id():
    codes = {row_id: np.full((1, 2), code) for code, row_id in enumerate("ba")}
    table = CodeTable(Codebooks(1, 2, 50.0), codes)
    examples = pd.DataFrame(
        {"id": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"], "text": ["A", "B"]}
    )
    both = token_texts(examples, ["text", "audio"], table, Selection())
    assert [list(tokens) for tokens in both["audio_tokens"]] == [[1, 1], [0, 0]]
    text = token_texts(examples, ["text"], None, None)
    assert text["token_text"].tolist() == ["A", "B"]
    assert text["audio_tokens"].tolist() == [None, None]
    audio = token_texts(examples, ["audio"], table, Selection())
    assert audio["text"].tolist() == [None, None]
