"""Whether a tokenizer is its model's: transformers makes one up where its files are missing."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from speechlasso.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Embeddings have spare rows to fill up to a round number: 2 % in published models, seldom more.
SMALLEST_SHARE = 0.75


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, n_rows: int, named: str) -> None:
    """See that every token has its row in the embedding, and that the tokens are not too few.

    Parameters
    ----------
    n_rows
        Of the model's embedding matrix.
    named
        The model, as messages should begin.

    Raises
    ------
    InputError
        If the two do not belong together.
    """
    vocabulary = tokenizer.get_vocab()
    advice = (
        "Put the tokenizer's files (tokenizer.json, or vocab.txt and the like) beside the model."
    )
    if len(vocabulary) < SMALLEST_SHARE * n_rows:
        raise InputError(
            f"{named}: its tokenizer knows {len(vocabulary)} tokens, but its embedding has "
            f"{n_rows} rows: files of the tokenizer are missing, or are another model's. {advice}"
        )
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    # Special tokens that nothing asks for may have no row: words never become one of them.
    asked_for = {*tokenizer("a")["input_ids"], tokenizer.mask_token_id}
    beyond = [
        name
        for name, row in vocabulary.items()
        if row >= n_rows and (name not in special or row in asked_for)
    ]
    if beyond:
        raise InputError(
            f"{named}: its embedding has {n_rows} rows, too few for {len(beyond)} tokens of its "
            f"tokenizer, such as {min(beyond)!r}, which is that of another model. {advice}"
        )


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all tokens with their numbers, whatever files they are read from."""
    tokens = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()
