"""Prompts as LM token ids, with places for vectors of speech and for an example's words."""

from __future__ import annotations

import re

import pandas as pd
from transformers import PreTrainedTokenizerBase

from speechlasso.errors import InputError
from speechlasso.language_model.encoding import (
    AUDIO,
    FRAME,
    TEXT,
    PlainText,
    cut_to_length,
    place_of_speech,
    text_or_none,
)

SPEECH, WORDS = "<|speech|>", "<|words|>"
"""What stands in a prompt for an example's vectors of speech and for its words."""


def encode_in_prompt(
    tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, prompt: str, max_length: int
) -> pd.DataFrame:
    """Encode examples as a prompt has them, whose special tokens are read as such.

    What the words spell stays words. An example longer than `max_length` loses the ends of its
    speech and of its words, as `encoding.encode` does, and nothing of the prompt.

    Parameters
    ----------
    examples
        Columns `id`, `text` (str, or None for no text) and `n_vectors`.
    prompt
        With `SPEECH` and `WORDS` in it.

    Returns
    -------
    pandas.DataFrame
        As of `encoding.encode_beside_speech`.

    Raises
    ------
    InputError
        If the prompt alone is too long.
    """
    found = re.split(f"({re.escape(SPEECH)}|{re.escape(WORDS)})", prompt)
    pieces = [piece for piece in found if piece]
    fixed = {
        piece: tokenizer(piece, add_special_tokens=False)["input_ids"]
        for piece in pieces
        if piece not in (SPEECH, WORDS)
    }
    n_fixed = sum(len(fixed.get(piece, ())) for piece in pieces)
    if n_fixed >= max_length:
        raise InputError(
            f"lm.max_length: the prompt alone takes {n_fixed} of the {max_length} tokens that are "
            "left for it; raise it, or shorten the prompt"
        )
    texts = [text_or_none(text) or "" for text in examples["text"]]
    text_ids = PlainText(tokenizer).encode(texts, [False] * len(texts))
    place = place_of_speech(tokenizer)
    rows = []
    for words, n in zip(text_ids, examples["n_vectors"], strict=True):
        own = {SPEECH: (AUDIO, [place] * int(n)), WORDS: (TEXT, words)}
        rows.append([own[piece] if piece in own else (FRAME, fixed[piece]) for piece in pieces])
    return cut_to_length(rows, examples, max_length)
