"""Token texts: what the language model reads, words and kept audio tokens in one string.

Source: "A Simple Method to Enhance Pre-trained Language Models with Speech Tokens for
Classification" (arXiv 2512.07571), section on data preparation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from speechlasso.selection.token_selection import TokenSelection
    from speechlasso.tokenizers.codes import CodeFiles, CodeTable

TEXT_START, TEXT_END = "<|text|>", "<|text_end|>"
AUDIO_START, AUDIO_END = "<|audio|>", "<|audio_end|>"
MARKERS = (TEXT_START, TEXT_END, AUDIO_START, AUDIO_END)


def audio_token_name(rank: int) -> str:
    return f"<audio_token_{rank}>"


def new_token_names(n_audio_tokens: int) -> list[str]:
    """All names added to the LM's tokenizer: the four markers, then the audio tokens by rank."""
    return [*MARKERS, *(audio_token_name(rank) for rank in range(n_audio_tokens))]


def kept_sequence(codes: np.ndarray, rank_of_code: np.ndarray) -> np.ndarray:
    """The kept audio tokens of an utterance, frame by frame and within a frame layer by layer.

    Parameters
    ----------
    codes
        Integers, (n_layers, n_frames).
    rank_of_code
        Integers, (n_layers, codebook_size): rank of each (layer, code) in the selection, -1 where
        it was not selected.

    Returns
    -------
    numpy.ndarray
        Ranks, int32, in the order of time.
    """
    ranks = _ranks_in_time(codes, rank_of_code)
    return ranks[ranks >= 0].astype(np.int32)


def frames_of_kept(codes: np.ndarray, rank_of_code: np.ndarray) -> np.ndarray:
    """The frame of each token of `kept_sequence`, int64, in the same order."""
    return np.flatnonzero(_ranks_in_time(codes, rank_of_code) >= 0) // len(codes)


def _ranks_in_time(codes: np.ndarray, rank_of_code: np.ndarray) -> np.ndarray:
    """Rank of every code, -1 where it is not kept: (n_frames * n_layers,), frame after frame."""
    layers = np.arange(codes.shape[0])[:, None]
    return rank_of_code[layers, codes].T.ravel()


def token_text(text: str | None, audio_tokens: Sequence[int] | None) -> str:
    """One example as the LM reads it.

    Text alone stays plain: a model without new tokens needs no markers. No space stands between
    audio tokens, as each would become an LM token of its own.
    """
    if audio_tokens is None:
        return text or ""
    audio = f"{AUDIO_START} {''.join(map(audio_token_name, audio_tokens))} {AUDIO_END}"
    if text is None:
        return audio
    return f"{TEXT_START} {text} {TEXT_END} {audio}"


def token_texts(
    examples: pd.DataFrame,
    inputs: Sequence[str],
    codes: CodeTable | CodeFiles | None,
    selection: TokenSelection | None,
) -> pd.DataFrame:
    """Everything the language model needs to know of each utterance.

    Parameters
    ----------
    examples
        Columns id and text (where text is among the inputs), and where they are known label and
        split.
    inputs
        "text", "audio" or both.
    codes, selection
        Needed where audio is among the inputs.

    Returns
    -------
    pandas.DataFrame
        id, label and split where known, text (None without text), audio_tokens (ranks in the order
        of time; None without audio) and token_text, the two as one string.
    """
    known = [name for name in ("id", "label", "split") if name in examples]
    frame = examples[known].reset_index(drop=True)
    texts = list(examples["text"]) if "text" in inputs else [None] * len(frame)
    sequences: list = [None] * len(frame)
    if "audio" in inputs:
        ranks = selection.rank_of_code(codes.codebooks.n_layers, codes.codebooks.codebook_size)
        kept = {
            row_id: kept_sequence(array, ranks)
            for part in codes.parts()
            for row_id, array in part.codes.items()
        }
        sequences = [kept[row_id] for row_id in frame["id"]]
    frame["text"] = texts
    frame["audio_tokens"] = sequences
    frame["token_text"] = [token_text(*pair) for pair in zip(texts, sequences, strict=True)]
    return frame


def scheduled(texts: pd.DataFrame, schedule: pd.DataFrame) -> pd.DataFrame:
    """Token texts with the training rows as a schedule has them.

    Parameters
    ----------
    texts
        As `token_texts` makes them, of both inputs.
    schedule
        As `data.schedule.schedule_examples` makes it.

    Returns
    -------
    pandas.DataFrame
        A row per example of the schedule, with its phase and, without speech, written as text
        alone; then the rows of the other splits, whose phase is missing.
    """
    rows = schedule.merge(texts, on="id", validate="m:1")
    silent = ~rows["speech"]
    rows.loc[silent, "audio_tokens"] = None
    rows.loc[silent, "token_text"] = [token_text(text, None) for text in rows.loc[silent, "text"]]
    others = texts[texts["split"] != "train"]
    return pd.concat([rows.drop(columns="speech"), others], ignore_index=True)
