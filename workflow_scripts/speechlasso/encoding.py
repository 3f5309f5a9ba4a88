"""Token texts as LM token ids, cut where they are too long without losing their frame.

What the classifier pools on stands at the ends of a token text (the first special token, the
closing marker), so over-long examples lose words and audio tokens, never markers or special tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.token_text import (
    AUDIO_START,
    MARKERS,
    TEXT_END,
    TEXT_START,
    audio_token_name,
    token_text,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT, AUDIO, FRAME = 0, 1, 2


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, max_length: int
) -> pd.DataFrame:
    """Encode examples; without cuts, exactly `tokenizer(token_text(text, audio_tokens))`.

    An example longer than `max_length` loses the ends of its text and of its audio. Each of the two
    keeps at least half of the room between markers and special tokens, if it needs it.

    Parameters
    ----------
    tokenizer
        Tokenizer of the LM, extended by the audio tokens where the examples have any.
    examples
        Columns `id`, `text` (str, or None for no text) and `audio_tokens` (ranks, or None).
    max_length
        Longest encoding, in LM tokens.

    Returns
    -------
    pandas.DataFrame
        A row per example: `input_ids` (int64 arrays), `cut` (bool), and the numbers of tokens left
        after the cut, `n_text_tokens` and `n_audio_tokens`.

    Raises
    ------
    InputError
        Listing the examples with audio tokens that the tokenizer lacks, or with nothing to read.
    """
    contents = [
        (_text_or_none(text), _tokens_or_none(audio))
        for text, audio in zip(examples["text"], examples["audio_tokens"], strict=True)
    ]
    _check_audio_tokens(tokenizer, examples["id"], [audio for _, audio in contents])
    encoding = tokenizer(
        [token_text(text, audio) for text, audio in contents],
        return_special_tokens_mask=True,
        return_attention_mask=False,
        verbose=False,
    )
    marker_ids = {name: tokenizer.convert_tokens_to_ids(name) for name in MARKERS}
    rows = []
    for (text, audio), ids, special in zip(
        contents, encoding["input_ids"], encoding["special_tokens_mask"], strict=True
    ):
        ids = np.asarray(ids, dtype=np.int64)
        part = _parts(ids, np.asarray(special, dtype=bool), text, audio, marker_ids)
        rows.append(_cut(ids, part, max_length))
    encoded = pd.DataFrame(
        rows, columns=["input_ids", "cut", "n_text_tokens", "n_audio_tokens"], index=examples.index
    )
    _check_not_empty(examples["id"], encoded)
    return encoded


def _text_or_none(text: object) -> str | None:
    return text if isinstance(text, str) else None


def _tokens_or_none(audio_tokens: object) -> np.ndarray | None:
    if audio_tokens is None or np.ndim(audio_tokens) == 0:
        return None
    return np.asarray(audio_tokens, dtype=np.int64)


def _parts(
    ids: np.ndarray,
    special: np.ndarray,
    text: str | None,
    audio: np.ndarray | None,
    marker_ids: dict[str, int],
) -> np.ndarray:
    """Whether each position belongs to the TEXT, to the AUDIO, or to the FRAME around them."""
    part = np.where(special, FRAME, TEXT)
    if audio is None:
        return part
    # Text stands between our markers: whatever it holds, ours are the outermost.
    audio_start = np.flatnonzero(ids == marker_ids[AUDIO_START])[-1]
    audio_end = audio_start + 1 + len(audio)
    part[audio_start + 1 : audio_end] = AUDIO
    part[[audio_start, audio_end]] = FRAME
    if text is not None:
        text_start = np.flatnonzero(ids == marker_ids[TEXT_START])[0]
        text_end = np.flatnonzero(ids[:audio_start] == marker_ids[TEXT_END])[-1]
        part[[text_start, text_end]] = FRAME
    return part


def _cut(ids: np.ndarray, part: np.ndarray, max_length: int) -> tuple[np.ndarray, bool, int, int]:
    n_text, n_audio = np.count_nonzero(part == TEXT), np.count_nonzero(part == AUDIO)
    room = max_length - np.count_nonzero(part == FRAME)
    keep_text = min(n_text, max(room - room // 2, room - n_audio))
    keep_audio = min(n_audio, room - keep_text)
    keep = part == FRAME
    keep[np.flatnonzero(part == TEXT)[:keep_text]] = True
    keep[np.flatnonzero(part == AUDIO)[:keep_audio]] = True
    return ids[keep], len(ids) > max_length, keep_text, keep_audio


def _check_audio_tokens(
    tokenizer: PreTrainedTokenizerBase, example_ids: pd.Series, audio: list[np.ndarray | None]
) -> None:
    known = tokenizer.get_added_vocab()
    problems = []
    for example_id, tokens in zip(example_ids, audio, strict=True):
        if tokens is None:
            continue
        names = [*MARKERS, *map(audio_token_name, np.unique(tokens))]
        missing = [name for name in names if name not in known]
        if missing:
            problems.append(f"{example_id}: {', '.join(missing[:5])}")
    if problems:
        raise InputError.listing(
            "These examples hold audio tokens that the model does not know:",
            problems,
            "Use the selection of audio tokens that the model was trained with.",
        )


def _check_not_empty(example_ids: pd.Series, encoded: pd.DataFrame) -> None:
    empty = [
        example_id
        for example_id, ids in zip(example_ids, encoded["input_ids"], strict=True)
        if len(ids) == 0
    ]
    if empty:
        raise InputError.listing(
            "These examples have neither words nor audio tokens:",
            map(str, empty),
            "Give them a text, or leave them out.",
        )
