"""A language model that reads vectors of speech at some places of its input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from speechlasso.features.frame_files import FramesById
from speechlasso.language_model.encoding import AUDIO, encode_beside_speech
from speechlasso.language_model.prompt_encoding import encode_in_prompt
from speechlasso.language_model.speech_adapter import SpeechAdapter
from speechlasso.training.batching import length_sorted_batches, model_inputs, padded
from speechlasso.training.devices import on_device
from speechlasso.training.loop import Batch

PADDED = ("input_ids", "attention_mask", "is_speech", "labels", "answer")
"""Tensors of a batch that are padded as its `attention_mask` tells."""


class SpeechReader(nn.Module):
    """A language model, the adapter that makes vectors for it, and the frames that these come from.

    Frames are read when a batch is computed: all of a corpus need not be in memory at once.

    Attributes
    ----------
    lm
        With any head.
    adapter
        Makes vectors of the size of the model's embeddings.
    frames, names
        On disk, and the ids of the utterances that batches refer to by number.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        adapter: SpeechAdapter,
        frames: FramesById,
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.lm, self.adapter = lm, adapter
        self.frames, self.names = frames, names

    def with_model(self, lm: PreTrainedModel) -> SpeechReader:
        """The same with another model or another head; the adapter is shared."""
        return SpeechReader(lm, self.adapter, self.frames, self.names)

    def activation_checkpointing_enable(self) -> None:
        self.lm.activation_checkpointing_enable()

    def n_vectors(self, name: str) -> int:
        """Vectors that an utterance becomes."""
        return -(-self.frames.n_frames(name) // self.adapter.reduction)

    def inputs(self, examples: pd.DataFrame) -> Batch:
        """What is read of some examples.

        Parameters
        ----------
        examples
            Columns `input_ids` and `part` (`encoding.encode_beside_speech`), and `number`, that of
            the utterance among `names`.
        """
        is_speech = [(part == AUDIO).astype(np.int64) for part in examples["part"]]
        return model_inputs(examples["input_ids"].tolist(), self.lm.config.pad_token_id) | {
            "is_speech": padded(is_speech, 0),
            "utterance": torch.tensor(examples["number"].tolist()),
        }

    def logits(self, batch: Batch) -> torch.Tensor:
        """Of a classifier, (n_examples, n_classes)."""
        names = ("input_ids", "attention_mask", "is_speech", "utterance")
        return self.read(**{name: batch[name] for name in names}).logits

    def read(self, is_speech: torch.Tensor, utterance: torch.Tensor, **inputs: Any) -> ModelOutput:
        """What the model returns of inputs in which speech stands at some places."""
        with self.hearing({"is_speech": is_speech, "utterance": utterance}):
            return self.lm(**inputs)

    @torch.no_grad()
    def class_probabilities(
        self, examples: pd.DataFrame, batch_size: int, *, show_progress: bool = False
    ) -> np.ndarray:
        """Softmax over the classes, float64, (n_examples, n_classes), rows as in the examples."""
        self.eval()
        device = self.adapter.mean.device
        probabilities = np.empty((len(examples), self.lm.config.num_labels))
        lengths = examples["input_ids"].map(len).to_numpy()
        batches = length_sorted_batches(lengths, batch_size)
        for rows in tqdm(batches, desc="predict", unit="batch", delay=1, disable=not show_progress):
            logits = self.logits(on_device(self.inputs(examples.iloc[rows]), device))
            probabilities[rows] = logits.double().softmax(dim=1).cpu().numpy()
        return probabilities

    @contextmanager
    def hearing(self, batch: Batch) -> Iterator[None]:
        """Let the model read the batch's vectors of speech in place of the tokens there.

        They take the place of what its embedding returns, as `inputs_embeds` would; but with ids
        beside them models find the last token that is no padding, and their positions, by
        themselves.
        """
        is_speech = batch["is_speech"].bool()
        if not is_speech.any():
            yield
            return
        vectors = self._vectors(batch["utterance"], is_speech.sum(dim=1))

        def replaced(_: nn.Module, __: tuple, embedded: torch.Tensor) -> torch.Tensor:
            return embedded.masked_scatter(is_speech[..., None], vectors.to(embedded))

        hook = self.lm.get_input_embeddings().register_forward_hook(replaced)
        try:
            yield
        finally:
            hook.remove()

    def _vectors(self, utterances: torch.Tensor, n_vectors: torch.Tensor) -> torch.Tensor:
        """The first n vectors of each utterance, one after the other: (sum of n, size)."""
        n_read = (n_vectors * self.adapter.reduction).tolist()
        frames = [
            self.frames.read(self.names[number], most)
            for number, most in zip(utterances.tolist(), n_read, strict=True)
        ]
        lengths = torch.tensor([len(of_clip) for of_clip in frames], device=utterances.device)
        # All at once in half precision, which is how they lie on disk.
        together = nn.utils.rnn.pad_sequence(list(map(torch.from_numpy, frames)), batch_first=True)
        vectors = self.adapter(together.to(utterances.device), lengths)
        places = torch.arange(vectors.shape[1], device=vectors.device)
        return vectors[places < n_vectors[:, None]]


def encoded_with_speech(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    longest: int,
    prompt: str | None = None,
) -> pd.DataFrame:
    """What `SpeechReader.inputs` reads of examples, beside their own columns.

    Parameters
    ----------
    examples
        Columns `id` and `text` (None for none), and where some are without speech, `speech`.
    prompt
        What speech and words stand in (`prompt_encoding`); by default nothing.
    """
    n_vectors = examples["id"].map(reader.n_vectors)
    if "speech" in examples:
        n_vectors = n_vectors.where(examples["speech"], 0)
    numbers = {name: number for number, name in enumerate(reader.names)}
    rows = examples.assign(n_vectors=n_vectors, number=examples["id"].map(numbers))
    if prompt is None:
        encoded = encode_beside_speech(tokenizer, rows, longest)
    else:
        encoded = encode_in_prompt(tokenizer, rows, prompt, longest)
    return rows.assign(**{name: encoded[name] for name in encoded})
