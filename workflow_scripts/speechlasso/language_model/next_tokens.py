"""What a language model has to predict when new tokens are learned, in batches with labels."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from speechlasso.language_model.loss import IGNORED, hidden_states_before_scores
from speechlasso.language_model.masking import masked_tokens
from speechlasso.language_model.passages import TokenSequence
from speechlasso.language_model.pretrained import Objective
from speechlasso.language_model.token_text import MARKERS
from speechlasso.training.batching import in_rows, model_inputs, packed_inputs, padded, shared_rows
from speechlasso.training.devices import on_device
from speechlasso.training.loop import Batch

# Enough for some of them to share a row.
SEQUENCES_TRIED = 100


class Predictions:
    """Turns sequences into batches with labels: what the model has to predict, and where."""

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

    def batch(self, sequences: Sequence[TokenSequence], rng: np.random.Generator) -> Batch:
        if self.kind == "causal":
            pairs = [(sequence.ids, sequence.next_tokens) for sequence in sequences]
        else:
            pairs = [self.masked(sequence.ids, rng) for sequence in sequences]
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


def can_be_packed(model: PreTrainedModel, sequences: Sequence[np.ndarray]) -> bool:
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
