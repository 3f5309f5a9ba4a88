"""Token texts as LM token ids, cut where they are too long without losing their frame.

What the classifier pools on stands at the ends of a token text (the first special token, the
closing marker), so over-long examples lose words and audio tokens, never markers or special tokens.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.language_model.token_text import (
    AUDIO_END,
    AUDIO_START,
    MARKERS,
    TEXT_END,
    TEXT_START,
    audio_token_name,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT, AUDIO, FRAME = 0, 1, 2
AUDIO_TOKEN = r"<audio_token_\d+>"


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, max_length: int
) -> pd.DataFrame:
    """Encode examples; without cuts, as `tokenizer(token_text(text, audio_tokens))` would.

    With one exception: text that spells a marker, an audio token or a special token of the language
    model stays text, of whatever tokens its characters are.

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
        after the cut, `n_text_tokens` and `n_audio_tokens`; and `part`, which of TEXT, AUDIO and
        FRAME each token belongs to (arrays).

    Raises
    ------
    InputError
        Listing the examples with audio tokens that the tokenizer lacks, or with nothing to read.
    """
    texts = list(map(text_or_none, examples["text"]))
    audio = list(map(_tokens_or_none, examples["audio_tokens"]))
    _check_audio_tokens(tokenizer, examples["id"], audio)
    marked = [tokens is not None for tokens in audio]
    text_ids = PlainText(tokenizer).encode([text or "" for text in texts], marked)
    frame = _Frame.of(tokenizer)
    rank_ids = _ids_of_ranks(tokenizer, audio)
    parts = [
        frame.around(None if text is None else ids, None if ranks is None else rank_ids[ranks])
        for text, ids, ranks in zip(texts, text_ids, audio, strict=True)
    ]
    return cut_to_length(parts, examples, max_length)


def encode_beside_speech(
    tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, max_length: int
) -> pd.DataFrame:
    """Encode plain texts with places for vectors of speech before them, nothing new in between.

    An example longer than `max_length` is cut as `encode` does.

    Parameters
    ----------
    examples
        Columns `id`, `text` (str, or None for no text) and `n_vectors`.

    Returns
    -------
    pandas.DataFrame
        As of `encode`; at the places of speech stands some token that is no padding.

    Raises
    ------
    InputError
        Listing the examples with nothing to read.
    """
    texts = [text_or_none(text) or "" for text in examples["text"]]
    text_ids = PlainText(tokenizer).encode(texts, [False] * len(texts))
    frame = _Frame.of(tokenizer)
    place = place_of_speech(tokenizer)
    parts = [
        [(FRAME, frame.first), (AUDIO, [place] * int(n)), (TEXT, ids), (FRAME, frame.last)]
        for ids, n in zip(text_ids, examples["n_vectors"], strict=True)
    ]
    return cut_to_length(parts, examples, max_length)


def speech_ids(tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame) -> dict[str, np.ndarray]:
    """By id, the audio tokens of each example that has any, between their markers: int64 arrays.

    Parameters
    ----------
    tokenizer
        Extended by the audio tokens.
    examples
        Columns `id` and `audio_tokens`.

    Raises
    ------
    InputError
        Listing the examples with audio tokens that the tokenizer lacks.
    """
    audio = list(map(_tokens_or_none, examples["audio_tokens"]))
    _check_audio_tokens(tokenizer, examples["id"], audio)
    start, end = tokenizer.convert_tokens_to_ids([AUDIO_START, AUDIO_END])
    rank_ids = _ids_of_ranks(tokenizer, audio)
    return {
        id_: np.array([start, *rank_ids[ranks], end], dtype=np.int64)
        for id_, ranks in zip(examples["id"], audio, strict=True)
        if ranks is not None and len(ranks)
    }


def place_of_speech(tokenizer: PreTrainedTokenizerBase) -> int:
    """A token that is no padding, to stand where vectors of speech are read."""
    return 1 if tokenizer.pad_token_id == 0 else 0


def cut_to_length(
    examples_in_parts: list[list[tuple[int, Sequence[int]]]],
    examples: pd.DataFrame,
    max_length: int,
) -> pd.DataFrame:
    """What `encode` returns of examples whose parts are encoded, each with what it belongs to."""
    rows = []
    for parts in examples_in_parts:
        ids = np.concatenate([np.asarray(ids, dtype=np.int64) for _, ids in parts])
        part = np.repeat([kind for kind, _ in parts], [len(ids) for _, ids in parts])
        rows.append(_cut(ids, part, max_length))
    columns = ["input_ids", "part", "cut", "n_text_tokens", "n_audio_tokens"]
    encoded = pd.DataFrame(rows, columns=columns, index=examples.index)
    _check_not_empty(examples["id"], encoded)
    return encoded


class PlainText:
    """Encodes words so that nothing they spell becomes a marker, audio or special token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.get_added_vocab()
        special = {*tokenizer.all_special_tokens}
        special |= {
            token.content for token in tokenizer.added_tokens_decoder.values() if token.special
        }
        ours = {name for name in added if name in MARKERS or re.fullmatch(AUDIO_TOKEN, name)}
        # What unknown words become is allowed, unless it has another meaning besides.
        names = {*special, *ours}
        self._reserved = set(
            tokenizer.convert_tokens_to_ids(sorted(names - _only_unknown(tokenizer)))
        )
        # Beginning with any of the names; a name of one character cannot be told from text.
        spelled = [re.escape(name) for name in sorted(names) if len(name) > 1]
        self._names = re.compile(f"(?={'|'.join(spelled)})" if spelled else "(?!)")

    def encode(self, texts: list[str], marked: list[bool]) -> list[list[int]]:
        """Ids of each text, as it is read alone or, marked, between the two text markers."""
        if not texts:
            return []
        strings = [
            f"{TEXT_START} {text} {TEXT_END}" if between else text
            for text, between in zip(texts, marked, strict=True)
        ]
        found = self.tokenizer(
            strings, add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        whole = [ids[1:-1] if between else ids for ids, between in zip(found, marked, strict=True)]
        return [
            ids
            if self._is_plain(text, ids)
            else self._in_pieces(f" {text.rstrip()}" if between else text)
            for text, ids, between in zip(texts, whole, marked, strict=True)
        ]

    def _is_plain(self, text: str, ids: list[int]) -> bool:
        return not self._names.search(text) and self._reserved.isdisjoint(ids)

    def _in_pieces(self, text: str) -> list[int]:
        """Ids of a text cut within each of the names that it spells, or else into characters."""
        cuts = [match.start() + 1 for match in self._names.finditer(text)]
        pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        ids = self._joined(pieces)
        return ids if self._reserved.isdisjoint(ids) else self._joined(list(text))

    def _joined(self, pieces: list[str]) -> list[int]:
        encoded = self.tokenizer(pieces, add_special_tokens=False, return_attention_mask=False)
        return [token for ids in encoded["input_ids"] for token in ids]


def _only_unknown(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The token of unknown words, unless it has another meaning besides."""
    roles = tokenizer.special_tokens_map
    others = {name for role, name in roles.items() if role != "unk_token"}
    return {tokenizer.unk_token} - others - {None}


@dataclass(frozen=True)
class _Frame:
    """What stands around words and audio tokens."""

    first: list[int]
    """What the language model wants at the beginning of all that it reads."""
    last: list[int]
    marker: dict[str, int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> _Frame:
        probe = tokenizer("a", return_special_tokens_mask=True)
        ids, is_special = probe["input_ids"], probe["special_tokens_mask"]
        n_first = len(list(itertools.takewhile(bool, is_special)))
        n_last = len(list(itertools.takewhile(bool, reversed(is_special[n_first:]))))
        marker = {name: tokenizer.convert_tokens_to_ids(name) for name in MARKERS}
        return cls(ids[:n_first], ids[len(ids) - n_last :], marker)

    def around(
        self, text: list[int] | None, audio: np.ndarray | None
    ) -> list[tuple[int, Sequence[int]]]:
        """All in its order, each run of tokens with what it belongs to."""
        first, last = (FRAME, self.first), (FRAME, self.last)
        if audio is None:
            return [first, (TEXT, text or []), last]
        words = [] if text is None else self._marked(TEXT_START, (TEXT, text), TEXT_END)
        return [first, *words, *self._marked(AUDIO_START, (AUDIO, audio), AUDIO_END), last]

    def _marked(self, start: str, part: tuple[int, Sequence[int]], end: str) -> list:
        return [(FRAME, [self.marker[start]]), part, (FRAME, [self.marker[end]])]


def _ids_of_ranks(tokenizer: PreTrainedTokenizerBase, audio: list[np.ndarray | None]) -> np.ndarray:
    """The LM token of each audio token, by its rank."""
    n_ranks = max(
        (ranks.max() + 1 for ranks in audio if ranks is not None and len(ranks)), default=0
    )
    names = [audio_token_name(rank) for rank in range(n_ranks)]
    return np.asarray(tokenizer.convert_tokens_to_ids(names), dtype=np.int64)


def text_or_none(text: object) -> str | None:
    return text if isinstance(text, str) else None


def _tokens_or_none(audio_tokens: object) -> np.ndarray | None:
    if audio_tokens is None or np.ndim(audio_tokens) == 0:
        return None
    return np.asarray(audio_tokens, dtype=np.int64)


def _cut(
    ids: np.ndarray, part: np.ndarray, max_length: int
) -> tuple[np.ndarray, np.ndarray, bool, int, int]:
    n_text, n_audio = np.count_nonzero(part == TEXT), np.count_nonzero(part == AUDIO)
    room = max_length - np.count_nonzero(part == FRAME)
    keep_text = min(n_text, max(room - room // 2, room - n_audio))
    keep_audio = min(n_audio, room - keep_text)
    keep = part == FRAME
    keep[np.flatnonzero(part == TEXT)[:keep_text]] = True
    keep[np.flatnonzero(part == AUDIO)[:keep_audio]] = True
    return ids[keep], part[keep], len(ids) > max_length, keep_text, keep_audio


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
