"""What a language model learns of its own answers: an instruction and speech, then the answer.

Source: Self-Powered LSM (EMNLP 2024, 10.18653/v1/2024.emnlp-main.690). Where the transcript stood
when the answer was given stand the audio tokens between their markers.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from speechlasso.language_model.chat_prompt import ChatPrompts
from speechlasso.language_model.encoding import PlainText, speech_ids
from speechlasso.language_model.instructions import TRANSCRIPT, UNRELATED
from speechlasso.language_model.passages import Contest, Passages, TokenSequence

logger = logging.getLogger(__name__)


def spoken_instructions(
    examples: pd.DataFrame,
    answers: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> Passages:
    """Sequences in which the answer is to be predicted.

    Utterances without audio tokens and without an answer are left out, and so are sequences of more
    than `max_length` tokens.

    Parameters
    ----------
    examples
        id and audio_tokens.
    answers
        As of `answering.answer_instructions`.
    tokenizer
        Extended by the audio tokens.
    """
    chat, speech = ChatPrompts(tokenizer), speech_ids(tokenizer, examples)
    rows = answers[(answers["answer"] != "") & answers["id"].isin(speech)]
    rows = rows.assign(reply=_reply_ids(rows, tokenizer, chat.end_id))
    asked = rows[~rows["kind"].isin([UNRELATED, TRANSCRIPT])]
    prompts = [
        chat.prompt(row.instruction, speech[row.id]) for row in asked.itertuples(index=False)
    ]
    sequences = [
        TokenSequence(np.concatenate([prompt, reply]), n_given=len(prompt))
        for prompt, reply in zip(prompts, asked["reply"], strict=True)
    ]
    fits = np.array([len(sequence) <= max_length for sequence in sequences], dtype=bool)
    logger.info(
        "%d instructions with speech of %d utterances (%d without audio tokens are left out); %d "
        "are left out, as they are longer than lm.max_length (%d)",
        *(fits.sum(), asked["id"].nunique(), len(examples) - len(speech), (~fits).sum()),
        max_length,
    )
    held_out = asked["held_out"].to_numpy(dtype=bool)
    contests = _contests(rows[rows["held_out"]], speech, tokenizer, chat, max_length)
    return Passages(sequences, held_out, contests).where(fits)


def _reply_ids(
    rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, end_id: int
) -> list[np.ndarray]:
    """Each answer and, unless it was cut, its end."""
    words = PlainText(tokenizer).encode(list(rows["answer"]), [False] * len(rows))
    return [
        np.array([*ids, end_id] if complete else ids, dtype=np.int64)
        for ids, complete in zip(words, rows["complete"], strict=True)
    ]


def _contests(
    held_out: pd.DataFrame,
    speech: dict[str, np.ndarray],
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatPrompts,
    max_length: int,
) -> list[Contest]:
    """For each instruction its answer against the reply to the transcript alone; those where the
    two are the same, or the model could not read all, tell nothing."""
    to_transcript = held_out[held_out["kind"] == TRANSCRIPT].set_index("id")
    rows = held_out[held_out["kind"] != TRANSCRIPT]
    rows = rows[rows["id"].isin(to_transcript.index)]
    words = PlainText(tokenizer).encode(list(rows["text"]), [False] * len(rows))
    contests = [
        Contest(
            row.kind,
            with_speech=chat.prompt(row.instruction, speech[row.id]),
            with_transcript=chat.prompt(row.instruction, ids),
            to_instruction=row.reply,
            to_speech=to_transcript.loc[row.id, "reply"],
        )
        for row, ids in zip(rows.itertuples(index=False), words, strict=True)
    ]
    return [c for c in contests if c.length <= max_length and c.is_open]
