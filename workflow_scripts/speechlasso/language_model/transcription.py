"""Learning to transcribe: what aligns vectors of speech with a language model's words.

A decoder predicts the words that follow the speech; an encoder predicts masked ones beside it.
Source: SpeechVerse (arXiv 2405.08295), section 3.2, for decoders.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from speechlasso.errors import InputError
from speechlasso.language_model.encoding import TEXT
from speechlasso.language_model.loss import IGNORED, language_model_loss
from speechlasso.language_model.masking import masked_tokens
from speechlasso.language_model.pretrained import LoadedModel, Objective
from speechlasso.language_model.speech_reader import PADDED, SpeechReader
from speechlasso.training.batching import length_grouped_batches, padded
from speechlasso.training.loop import Batch, Task


def transcription_task(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    kind: Objective,
    *,
    mask_probability: float,
    batch_size: int,
    seed: int,
) -> Task:
    """Training on the words of training rows, given their speech, for a set number of epochs.

    Parameters
    ----------
    examples
        Training rows, as `SpeechReader.inputs` takes them, with `n_text_tokens` and
        `n_audio_tokens`; those without words or without speech are left out.
    mask_probability
        Share of the words that an encoder has to predict.

    Raises
    ------
    InputError
        If no row has both.
    """
    has_both = (examples["n_text_tokens"] > 0) & (examples["n_audio_tokens"] > 0)
    examples = examples[has_both].reset_index(drop=True)
    if examples.empty:
        raise InputError(
            "curriculum: no training row has both words and speech to transcribe; set it to none"
        )
    lengths = examples["input_ids"].map(len).to_numpy()

    def batches(epoch: int) -> list[Batch]:
        rng = np.random.default_rng([seed, epoch])
        return [
            _with_labels(reader, examples.iloc[rows], tokenizer, kind, mask_probability, rng)
            for rows in length_grouped_batches(lengths, batch_size, rng)
        ]

    def loss(model: SpeechReader, batch: Batch) -> torch.Tensor:
        with model.hearing(batch):
            read = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
            return language_model_loss(model.lm, None, read)

    return Task(
        batches,
        loss,
        lambda batch: int((batch["labels"] != IGNORED).sum()),
        None,
        metric="",
        greater_is_better=False,
        untrained_is_candidate=False,
        padded_tensors=PADDED,
    )


def with_body_of(language_model: LoadedModel, classifier: PreTrainedModel) -> PreTrainedModel:
    """A language model whose body is the classifier's, so that both heads read the same weights.

    It is frozen, but for a prediction head that the model's files lack.
    """
    model = language_model.model
    body = f"{model.base_model_prefix}."
    own = {id(p) for name, p in model.named_parameters() if not name.startswith(body)}
    new = [p for p in language_model.newly_initialised if id(p) in own]
    setattr(model, model.base_model_prefix, classifier.base_model)
    model.tie_weights()
    model.config.pad_token_id = classifier.config.pad_token_id
    model.requires_grad_(False)
    for parameter in new:
        parameter.requires_grad_(True)
    return model


def _with_labels(
    reader: SpeechReader,
    examples: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    kind: Objective,
    mask_probability: float,
    rng: np.random.Generator,
) -> Batch:
    pairs = []
    for ids, part in zip(examples["input_ids"], examples["part"], strict=True):
        words = np.flatnonzero(part == TEXT)
        if kind == "masked":
            options = {"mask_id": tokenizer.mask_token_id, "vocabulary_size": len(tokenizer)}
            pairs.append(masked_tokens(ids, words, mask_probability, rng, **options))
        else:
            pairs.append((ids, _next_words(ids, words, tokenizer.eos_token_id)))
    inputs, labels = zip(*pairs, strict=True)
    read = reader.inputs(examples.assign(input_ids=list(inputs)))
    return read | {"labels": padded(labels, IGNORED)}


def _next_words(ids: np.ndarray, words: np.ndarray, end: int | None) -> np.ndarray:
    """Labels where each word is predicted: one place before it; after the last one, the end."""
    labels = np.full_like(ids, IGNORED)
    labels[words - 1] = ids[words]
    if end is not None:
        labels[words[-1]] = end
    return labels
