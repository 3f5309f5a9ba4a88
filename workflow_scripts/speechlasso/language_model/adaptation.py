"""Adapt a language model to new tokens by learning their embedding rows and nothing else.

Source: "A Simple Method to Enhance Pre-trained Language Models with Speech Tokens for
Classification" (arXiv 2512.07571), section on self-supervised adaptation. A decoder predicts the
next token, as published; an encoder predicts masked tokens (BERT, arXiv 1810.04805, section 3.1).
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from pathlib import Path

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
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.loss import (
    IGNORED,
    hidden_states_before_scores,
    language_model_loss,
)
from speechlasso.language_model.masking import masked_tokens
from speechlasso.language_model.new_row_training import NewRows, train_new_rows
from speechlasso.language_model.pretrained import (
    Objective,
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    objective,
)
from speechlasso.language_model.settings import Adapt, LanguageModel
from speechlasso.language_model.token_rows import NewTokens, TokenRows
from speechlasso.language_model.token_text import MARKERS, new_token_names
from speechlasso.training.batching import (
    in_rows,
    length_grouped_batches,
    length_sorted_batches,
    model_inputs,
    packed_inputs,
    padded,
    random_batches,
    shared_rows,
)
from speechlasso.training.devices import best_device, computing, on_device, to_best_device
from speechlasso.training.loop import Batch, Task, train
from speechlasso.training.processes import of_first_process

# Enough for some of them to share a row.
SEQUENCES_TRIED = 100


@dataclass(frozen=True)
class Adaptation:
    rows: TokenRows
    log: pd.DataFrame
    """Columns epoch (0: before training), train_loss, held_out_loss (nats per predicted token),
    held_out_perplexity, seconds, best."""


def adapt(
    examples: pd.DataFrame,
    *,
    lm: LanguageModel,
    settings: Adapt,
    new_tokens: NewTokens,
    seed: int,
    threads: int,
    checkpoint_folder: Path,
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
        sequences = encode(tokenizer, examples, lm.max_length)["input_ids"].tolist()
        to_best_device(loaded.model)
        is_packed = kind == "causal" and of_first_process(can_be_packed(loaded.model, sequences))
        predictions = _Predictions(kind, tokenizer, settings.mask_probability, is_packed)
        # Without audio tokens of its own, an utterance may have nothing to predict.
        sequences = [ids for ids in sequences if predictions.are_possible(ids)]
        loaded.model.requires_grad_(False)
        rows = train_new_rows(loaded.model, token_ids)
        if kind == "masked":
            for parameter in loaded.newly_initialised:
                parameter.requires_grad_(True)
        log = train(
            loaded.model,
            _task(loaded.model, rows, sequences, predictions, settings, seed),
            settings,
            weight_decay=0.0,
            precision=lm.precision if settings.weights == "fp32" else "bf16",
            seed=seed,
            checkpoint_folder=checkpoint_folder,
            title="adapt",
        )
        vectors = rows.input_rows.detach().cpu().numpy()
    return Adaptation(TokenRows(new_token_names(new_tokens.n), vectors), log)


def can_be_packed(model: PreTrainedModel, sequences: list[np.ndarray]) -> bool:
    """Whether sequences of token ids that share a row leave each other alone in this decoder.

    transformers keeps them apart in most of its decoders and mixes them without a word in others
    (OPT, in version 5). So the first row that would be shared is tried: the later sequences must
    not notice another first one, and must be to the model what they are in rows of their own.
    """
    lengths = np.array([len(ids) for ids in sequences[:SEQUENCES_TRIED]])
    shared = [row for row in shared_rows(lengths) if len(row) > 1]
    if not shared or "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    first, *later = (sequences[position] for position in shared[0])
    # A second row with padding, as most batches have them.
    rows = [list(range(len(later) + 1)), [1]]
    together, otherwise = (
        _hidden(model, packed_inputs([ids, *later], rows, padding_id=0))[0, len(first) :]
        for ids in (first, np.zeros_like(first))
    )
    alone = torch.cat([_hidden(model, model_inputs([ids], padding_id=0))[0] for ids in later])
    together, otherwise = together[: len(alone)], otherwise[: len(alone)]
    # Where nothing mixes the first difference is zero in any precision, and 2e-4 or more otherwise;
    # in the second, rows of other lengths are rounded differently.
    return _difference(together, otherwise) < 1e-5 and _difference(together, alone) < 5e-2


@torch.no_grad()
def _hidden(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    return hidden_states_before_scores(model, on_device(batch, model.device)).float()


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _task(
    model: PreTrainedModel,
    rows: NewRows,
    sequences: list[np.ndarray],
    predictions: _Predictions,
    settings: Adapt,
    seed: int,
) -> Task:
    train_rows, held_out_rows = _divide(len(sequences), settings.holdout, seed)
    lengths = np.array([len(ids) for ids in sequences])
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
        validation_rows=[sequences[row] for row in held_out_rows],
        padded_tensors=("input_ids", "attention_mask", "labels"),
    )


def _divide(n_examples: int, holdout: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n_held_out = max(1, round(holdout * n_examples))
    if n_examples - n_held_out < 1:
        raise InputError(
            f"adapt.holdout: {n_examples} examples are too few to learn from some and hold out "
            "others (those without anything to predict do not count); switch adaptation off "
            "(arms.<name>.adapt: false)"
        )
    order = np.random.default_rng(seed).permutation(n_examples)
    return order[n_held_out:], order[:n_held_out]


class _Predictions:
    """Turns token ids into batches with labels: what the model has to predict, and where."""

    def __init__(
        self,
        kind: Objective,
        tokenizer: PreTrainedTokenizerBase,
        mask_probability: float,
        is_packed: bool,
    ) -> None:
        self.kind, self.mask_probability, self.is_packed = kind, mask_probability, is_packed
        self.padding_id, self.mask_id = tokenizer.pad_token_id, tokenizer.mask_token_id
        self.vocabulary_size = len(tokenizer)
        markers = tokenizer.convert_tokens_to_ids(list(MARKERS))
        self.never_masked = np.array(sorted({*tokenizer.all_special_ids, *markers}))

    def are_possible(self, ids: np.ndarray) -> bool:
        """Whether there is a token to predict."""
        if self.kind == "causal":
            return len(ids) > 1
        return not np.isin(ids, self.never_masked).all()

    def batch(self, sequences: list[np.ndarray], rng: np.random.Generator) -> Batch:
        if self.kind == "causal":
            pairs = [(ids, np.append(ids[1:], IGNORED)) for ids in sequences]
        else:
            pairs = [self.masked(ids, rng) for ids in sequences]
        inputs, labels = zip(*pairs, strict=True)
        if self.is_packed:
            rows = shared_rows(np.array([len(ids) for ids in inputs]))
            labels = padded(in_rows(labels, rows), IGNORED)
            return packed_inputs(inputs, rows, self.padding_id) | {"labels": labels}
        return model_inputs(inputs, self.padding_id) | {"labels": padded(labels, IGNORED)}

    def masked(self, ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return masked_tokens(
            ids,
            np.flatnonzero(~np.isin(ids, self.never_masked)),
            self.mask_probability,
            rng,
            mask_id=self.mask_id,
            vocabulary_size=self.vocabulary_size,
        )
