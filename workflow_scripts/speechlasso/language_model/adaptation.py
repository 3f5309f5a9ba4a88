"""Adapt a language model to new tokens by learning their embedding rows and nothing else.

Source: "A Simple Method to Enhance Pre-trained Language Models with Speech Tokens for
Classification" (arXiv 2512.07571), section on self-supervised adaptation. A decoder predicts the
next token, as published; an encoder predicts masked tokens (BERT, arXiv 1810.04805, section 3.1).
With answers, a decoder predicts those instead, after an instruction and speech (Self-Powered LSM,
EMNLP 2024, 10.18653/v1/2024.emnlp-main.690).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.errors import InputError
from speechlasso.language_model.anchor_bias import AnchorBias, bias_table
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.loss import IGNORED, language_model_loss
from speechlasso.language_model.new_row_training import NewRows, train_new_rows
from speechlasso.language_model.next_tokens import Predictions, can_be_packed
from speechlasso.language_model.passages import Passages, TokenSequence
from speechlasso.language_model.pretrained import (
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    objective,
)
from speechlasso.language_model.settings import Adapt, LanguageModel
from speechlasso.language_model.spoken_instructions import spoken_instructions
from speechlasso.language_model.token_rows import NewTokens, TokenRows
from speechlasso.language_model.token_text import new_token_names
from speechlasso.training.batching import (
    length_grouped_batches,
    length_sorted_batches,
    random_batches,
)
from speechlasso.training.devices import best_device, computing, on_device, to_best_device
from speechlasso.training.loop import Batch, Task, train
from speechlasso.training.processes import of_first_process


@dataclass(frozen=True)
class Adaptation:
    rows: TokenRows
    log: pd.DataFrame
    """Columns epoch (0: before training), train_loss, held_out_loss (nats per predicted token),
    held_out_perplexity, seconds, best."""
    anchor_bias: list[dict[str, Any]] = field(default_factory=list)
    """With answers: as `anchor_bias.bias_table` makes it."""


def adapt(
    examples: pd.DataFrame,
    *,
    lm: LanguageModel,
    settings: Adapt,
    new_tokens: NewTokens,
    seed: int,
    threads: int,
    checkpoint_folder: Path,
    answers: pd.DataFrame | None = None,
) -> Adaptation:
    """Learn the rows of the markers and audio tokens on unlabelled examples.

    An encoder whose files lack the masked-LM head gets one, trained along and then dropped.

    Parameters
    ----------
    examples
        Columns `id`, `text` and `audio_tokens`; the training rows of a fold.
    new_tokens
        The selection's, at least as many as any rank among the audio tokens requires.
    seed
        Draws the new rows' first values, the held-out texts, batches, masks and dropout.
    threads
        Processor threads to compute with.
    checkpoint_folder
        Where a long run leaves what it needs to go on after a stop.
    answers
        The model's own answers about the transcripts, as of `answering.answer_instructions`: what
        it learns to predict, in place of the token texts.

    Raises
    ------
    InputError
        If the model cannot be loaded or extended, or there are too few examples to hold some out.
    """
    with computing(threads, seed):
        kind = objective(lm)
        tokenizer = load_tokenizer(lm)
        auto_class = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
        # Dropout keeps trained weights from leaning on each other; here they are frozen.
        loaded = load_model(lm, auto_class, seed=seed, dropout=False, weights=settings.weights)
        token_ids = extend_with_audio_tokens(
            tokenizer,
            loaded.model,
            new_tokens.n,
            start=lm.new_rows,
            centroids=new_tokens.centroids,
            seed=seed,
        )
        if answers is None:
            passages = _token_texts(tokenizer, examples, lm.max_length)
        else:
            passages = spoken_instructions(examples, answers, tokenizer, lm.max_length)
        to_best_device(loaded.model)
        ids = [sequence.ids for sequence in passages.sequences]
        is_packed = kind == "causal" and of_first_process(can_be_packed(loaded.model, ids))
        predictions = Predictions(kind, tokenizer, settings.mask_probability, is_packed)
        loaded.model.requires_grad_(False)
        rows = train_new_rows(loaded.model, token_ids)
        if kind == "masked":
            for parameter in loaded.newly_initialised:
                parameter.requires_grad_(True)
        precision = lm.precision if settings.weights == "fp32" else "bf16"
        bias = AnchorBias(loaded.model, rows, passages.contests, precision)
        before, with_transcript = bias.follows(), bias.follows("with_transcript")
        log = train(
            loaded.model,
            _task(loaded.model, rows, passages, predictions, settings, seed),
            settings,
            weight_decay=0.0,
            precision=precision,
            seed=seed,
            checkpoint_folder=checkpoint_folder,
            title="adapt",
        )
        found = bias_table(passages.contests, before, bias.follows(), with_transcript)
        vectors = rows.input_rows.detach().cpu().numpy()
    return Adaptation(TokenRows(new_token_names(new_tokens.n), vectors), log, found)


def _token_texts(
    tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, max_length: int
) -> Passages:
    ids = encode(tokenizer, examples, max_length)["input_ids"]
    return Passages([TokenSequence(of_text) for of_text in ids])


def _task(
    model: PreTrainedModel,
    rows: NewRows,
    passages: Passages,
    predictions: Predictions,
    settings: Adapt,
    seed: int,
) -> Task:
    # Without audio tokens of its own, an utterance may have nothing to predict.
    passages = passages.where([predictions.are_possible(s.ids) for s in passages.sequences])
    sequences = passages.sequences
    train_rows, held_out_rows = _divide(passages, settings.holdout, seed)
    lengths = np.array([len(sequence) for sequence in sequences])
    # The held-out masks are drawn once, so that the losses of all epochs can be compared.
    rng = np.random.default_rng(seed)
    held_out = [
        predictions.batch([sequences[row] for row in held_out_rows[batch]], rng)
        for batch in length_sorted_batches(lengths[held_out_rows], settings.part_size)
    ]

    def batches(epoch: int) -> list[Batch]:
        rng = np.random.default_rng([seed, epoch])
        if predictions.is_packed:
            divided = random_batches(len(train_rows), settings.batch_size, rng)
        else:
            divided = length_grouped_batches(lengths[train_rows], settings.batch_size, rng)
        return [
            predictions.batch([sequences[row] for row in train_rows[batch]], rng)
            for batch in divided
        ]

    def loss(_: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return language_model_loss(model, rows, batch)

    def n_predictions(batch: Batch) -> int:
        return int((batch["labels"] != IGNORED).sum())

    def validate(_: torch.nn.Module) -> dict[str, float]:
        total = sum(
            language_model_loss(model, rows, on_device(batch, best_device())).item()
            for batch in held_out
        )
        mean = total / sum(map(n_predictions, held_out))
        return {"held_out_loss": mean, "held_out_perplexity": math.exp(min(mean, 700.0))}

    return Task(
        batches,
        loss,
        n_predictions,
        validate,
        metric="held_out_loss",
        greater_is_better=False,
        untrained_is_candidate=True,
        validation_rows=[sequences[row].ids for row in held_out_rows],
        padded_tensors=("input_ids", "attention_mask", "labels"),
    )


def _divide(passages: Passages, holdout: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the sequences to learn from and of those held out."""
    n = len(passages.sequences)
    if passages.held_out is None:
        n_held_out = max(1, round(holdout * n))
        order = np.random.default_rng(seed).permutation(n)
        parts = order[n_held_out:], order[:n_held_out]
    else:
        parts = np.flatnonzero(~passages.held_out), np.flatnonzero(passages.held_out)
    if not all(map(len, parts)):
        raise InputError(
            f"adapt.holdout: {n} examples are too few to learn from some and hold out "
            "others (those without anything to predict do not count); switch adaptation off "
            "(arms.<name>.adapt: false)"
        )
    return parts
