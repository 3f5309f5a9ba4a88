"""Learning to answer with the right label: the likelihood of its name after the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from speechlasso.language_model.classification import Reading
from speechlasso.language_model.encoding import FRAME
from speechlasso.language_model.label_choice import (
    ALONG_TEXT,
    Answers,
    Reader,
    label_probabilities,
    log_p_of_tokens,
    padded_on_the_left,
    positions_of,
    scores_of_last,
)
from speechlasso.language_model.loss import IGNORED
from speechlasso.language_model.settings import Finetune
from speechlasso.training.batching import length_grouped_batches, padded
from speechlasso.training.loop import Batch


class ReaderOfExamples(Reader, Protocol):
    def inputs(self, examples: pd.DataFrame) -> Batch:
        """What it reads of prompts, with columns `input_ids` and `part`."""
        ...


def answer_reading(reader: ReaderOfExamples, answers: Answers, settings: Finetune) -> Reading:
    """How a reader reads prompts in a classification task, whose classes are the answers.

    The prompts have columns `input_ids`, `part` and `class_index`.
    """

    def batches(rows: pd.DataFrame, rng: np.random.Generator) -> list[tuple[np.ndarray, Batch]]:
        told = with_answers(rows, [answers.ids[index] for index in rows["class_index"]])
        lengths = told["input_ids"].map(len).to_numpy()
        return [
            (batch, _answered(reader, told.iloc[batch]))
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def log_p(model: Reader, batch: Batch) -> torch.Tensor:
        read = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return answer_log_likelihood(model, read, answers.longest)

    def probabilities(rows: pd.DataFrame) -> np.ndarray:
        return label_probabilities(reader, rows, reader.inputs, answers, settings.part_size)

    return Reading(
        batches,
        log_p,
        probabilities,
        lambda rows: rows["input_ids"].tolist(),
        ALONG_TEXT,
    )


def _answered(reader: ReaderOfExamples, told: pd.DataFrame) -> Batch:
    return reader.inputs(told) | {"answer": padded(told["answer"].tolist(), IGNORED)}


def answer_log_likelihood(reader: Reader, batch: Batch, longest: int) -> torch.Tensor:
    """Of the answer that each example has, float32 (n,), with gradients.

    Parameters
    ----------
    batch
        Prompts with their answers, padded on the right, and `answer`: the token to predict at each
        place, `IGNORED` outside of the answer.
    longest
        Tokens of the longest answer.
    """
    batch = padded_on_the_left(batch)
    answer = batch.pop("answer")[:, -longest - 1 :]
    positions = positions_of(batch["attention_mask"])
    with scores_of_last(reader.lm, answer.shape[1]):
        logits = reader.read(**batch, position_ids=positions, use_cache=False).logits
    is_token = answer != IGNORED
    return (log_p_of_tokens(logits, answer * is_token) * is_token).sum(dim=1)


def with_answers(examples: pd.DataFrame, answers: Sequence[np.ndarray]) -> pd.DataFrame:
    """Prompts followed by their answers, and in a column `answer` what is to be predicted where.

    Parameters
    ----------
    examples
        With columns `input_ids` and `part` (`encoding.encode`).
    """
    rows = [
        (
            np.concatenate([ids, answer]),
            np.concatenate([part, np.full(len(answer), FRAME)]),
            np.concatenate([np.full(len(ids) - 1, IGNORED), answer, [IGNORED]]),
        )
        for ids, part, answer in zip(examples["input_ids"], examples["part"], answers, strict=True)
    ]
    columns = dict(zip(["input_ids", "part", "answer"], zip(*rows, strict=True), strict=True))
    return examples.assign(**{name: list(values) for name, values in columns.items()})
