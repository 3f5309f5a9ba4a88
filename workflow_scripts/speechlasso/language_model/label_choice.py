"""Which of some labels a causal language model takes for the likeliest answer to a prompt.

The probability of a label is the softmax, over the labels, of the log-likelihood of its name after
the prompt: the sum over the tokens of the name and the end of the turn. With the end no answer is
the beginning of another, so that this is the model's own probability of the label, given that it
answers with one of them. A mean per token would not be: names of many tokens, whose later ones
follow from the first, would win over names of one token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutputWithPast

from speechlasso.errors import InputError
from speechlasso.language_model.loss import IGNORED
from speechlasso.training.batching import length_sorted_batches, padded
from speechlasso.training.devices import on_device
from speechlasso.training.loop import Batch

ALONG_TEXT = ("input_ids", "attention_mask", "is_speech", "answer")
"""Tensors of a batch, (n, longest text)."""


class Reader(Protocol):
    """A causal language model, and how it reads what is not text."""

    lm: PreTrainedModel

    def read(self, **inputs: Any) -> CausalLMOutputWithPast:
        """What the model says of inputs that may hold more than `lm` itself takes."""
        ...


@dataclass(frozen=True)
class Answers:
    """The tokens of each label as an answer: its name, then the end of the turn."""

    ids: Sequence[np.ndarray]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> Answers:
        """
        Raises
        ------
        InputError
            If two labels are the same to the model.
        """
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        names = [tokenizer(label, add_special_tokens=False)["input_ids"] for label in labels]
        known: dict[tuple[int, ...], str] = {}
        for label, ids in zip(labels, map(tuple, names), strict=True):
            if ids in known:
                raise InputError(
                    f"the language model cannot tell the label {label!r} from {known[ids]!r}: it "
                    "reads the same tokens; rename one"
                )
            known[ids] = label
        return cls([np.array(ids + end, dtype=np.int64) for ids in names])

    @property
    def longest(self) -> int:
        """Tokens of the longest one."""
        return max(map(len, self.ids))


def label_probabilities(
    reader: Reader,
    examples: pd.DataFrame,
    inputs: Callable[[pd.DataFrame], Batch],
    answers: Answers,
    batch_size: int,
    *,
    show_progress: bool = False,
) -> np.ndarray:
    """Of each label, float64 (n_examples, n_labels), rows as in the examples.

    Parameters
    ----------
    examples
        With a column `input_ids`, the prompts'.
    inputs
        What `label_log_likelihoods` reads of some examples.
    batch_size
        Answers at a time: as many prompts as have so many of them.
    """
    reader.lm.eval()
    probabilities = np.empty((len(examples), len(answers.ids)))
    lengths = examples["input_ids"].map(len).to_numpy()
    batches = length_sorted_batches(lengths, max(1, batch_size // len(answers.ids)))
    for rows in tqdm(batches, desc="ask", unit="batch", delay=1, disable=not show_progress):
        prompts = on_device(inputs(examples.iloc[rows]), reader.lm.device)
        found = label_log_likelihoods(reader, prompts, answers)
        probabilities[rows] = found.double().softmax(dim=1).cpu().numpy()
    return probabilities


@torch.no_grad()
def label_log_likelihoods(reader: Reader, prompts: Batch, answers: Answers) -> torch.Tensor:
    """Of each label after each prompt, float32 (n, n_labels).

    The prompts are read once; what the model keeps of them (its cache) serves all answers.

    Parameters
    ----------
    prompts
        `input_ids` and `attention_mask`, padded on the right, and what else `reader` reads.
    """
    prompts = padded_on_the_left(prompts)
    mask, n_labels = prompts["attention_mask"], len(answers.ids)
    with scores_of_last(reader.lm, 1):
        read = reader.read(**prompts, position_ids=positions_of(mask), use_cache=True)
    ids = padded(answers.ids, IGNORED).to(mask)
    is_token = ids != IGNORED
    first = log_p_of_tokens(
        read.logits[:, -1, None].expand(-1, n_labels, -1), ids[:, 0].expand(len(mask), -1)
    )
    if answers.longest == 1:
        return first
    cache = read.past_key_values
    cache.batch_repeat_interleave(n_labels)
    known = is_token[:, :-1].to(mask).repeat(len(mask), 1)
    of_prompt = mask.repeat_interleave(n_labels, dim=0)
    steps = torch.arange(answers.longest - 1, device=mask.device)
    logits = reader.lm(
        input_ids=(ids * is_token)[:, :-1].repeat(len(mask), 1),
        attention_mask=torch.cat([of_prompt, known], dim=1),
        position_ids=of_prompt.sum(dim=1, keepdim=True) + steps,
        past_key_values=cache,
        use_cache=True,
    ).logits
    later = log_p_of_tokens(logits, (ids * is_token)[:, 1:].repeat(len(mask), 1))
    told = later * is_token[:, 1:].repeat(len(mask), 1)
    return first + told.sum(dim=1).reshape(len(mask), n_labels)


def padded_on_the_left(batch: Batch) -> Batch:
    """A batch that is padded on the right, with its padding moved to the left.

    What follows then stands next to what it follows, as a cache and windows of attention want it.
    """
    mask = batch["attention_mask"]
    n_padding = mask.shape[1] - mask.sum(dim=1, keepdim=True)
    places = (torch.arange(mask.shape[1], device=mask.device) - n_padding) % mask.shape[1]
    return batch | {name: batch[name].gather(1, places) for name in ALONG_TEXT if name in batch}


@contextmanager
def scores_of_last(lm: PreTrainedModel, n: int) -> Iterator[None]:
    """Let the model score the vocabulary at the last n places alone: all would be gigabytes."""

    def cut(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0][:, -n:],)

    hook = lm.get_output_embeddings().register_forward_pre_hook(cut)
    try:
        yield
    finally:
        hook.remove()


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(dim=1) - 1).clamp_min(0)


def log_p_of_tokens(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Of some tokens (...) by the scores (..., vocabulary)."""
    logits = logits.float()
    return logits.gather(-1, ids[..., None]).squeeze(-1) - logits.logsumexp(dim=-1)
