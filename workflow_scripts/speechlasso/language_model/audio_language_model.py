"""Whole audio language models of transformers: loaded, and given an utterance's sound in a prompt.

All goes through the model's own processor and its chat template. Run here with a small
`Qwen2AudioForConditionalGeneration`; of other classes the processor has to take `text` and `audio`,
to repeat a token for each vector of sound (`audio_token_id`) and to return `input_features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoProcessor, PreTrainedModel, ProcessorMixin
from transformers.utils import ModelOutput

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.errors import InputError
from speechlasso.features.clip_batches import waveforms
from speechlasso.hub import loaded, readable_errors
from speechlasso.language_model.encoding import AUDIO, FRAME, TEXT, PlainText, text_or_none
from speechlasso.language_model.prompt_encoding import WORDS
from speechlasso.language_model.settings import LanguageModel
from speechlasso.training.batching import model_inputs
from speechlasso.training.devices import best_device
from speechlasso.training.loop import Batch

FEATURES = "input_features"
"""What a processor calls the sound that the model reads."""


def load_processor(lm: LanguageModel) -> ProcessorMixin:
    """
    Raises
    ------
    InputError
        If it cannot be loaded, or has no chat template or no sound.
    """
    with readable_errors("model", lm.name):
        processor = loaded(AutoProcessor, lm.name, revision=lm.revision)
    for part in ("chat_template", "feature_extractor", "tokenizer", "audio_token_id"):
        if getattr(processor, part, None) is None:
            raise InputError(
                f"model: the processor of {lm.name!r} has no {part}; choose an audio language "
                "model that was tuned to follow instructions, such as Qwen/Qwen2-Audio-7B-Instruct"
            )
    return processor


def load_audio_model(lm: LanguageModel, class_name: str) -> PreTrainedModel:
    """The model, frozen, its weights stored as its files store them.

    Raises
    ------
    InputError
        If transformers has no such class, the model is of another, or its files lack weights.
    """
    model_class = getattr(transformers, class_name, None)
    if not (isinstance(model_class, type) and issubclass(model_class, PreTrainedModel)):
        raise InputError(
            f"model_class: transformers {transformers.__version__} has no model {class_name!r}; "
            "name one of its classes, such as Qwen2AudioForConditionalGeneration"
        )
    with readable_errors("model", lm.name):
        config = loaded(AutoConfig, lm.name, revision=lm.revision)
    if not isinstance(config, model_class.config_class):
        raise InputError(
            f"model_class: {lm.name!r} is a {config.model_type} model, not a {class_name}; name "
            f"its own class ({', '.join(config.architectures or ['see its config.json'])})"
        )
    with readable_errors("model", lm.name):
        model, info = loaded(
            model_class, lm.name, revision=lm.revision, dtype="auto", output_loading_info=True
        )
    if missing := sorted(info["missing_keys"]):
        raise InputError(f"model: the files of {lm.name!r} lack weights: {', '.join(missing[:3])}")
    return model.requires_grad_(False).to(best_device()).eval()


class AudioReader(nn.Module):
    """An audio language model, and the clips of the utterances that batches refer to by number.

    Clips are decoded when a batch is computed: all of a corpus need not be in memory at once.

    Attributes
    ----------
    lm
        The model.
    utterances
        Columns id and audio (list of clips), and start and end where utterances are segments.
    clips
        What the clips must be.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        processor: ProcessorMixin,
        utterances: pd.DataFrame,
        clips: RecordedClips,
    ) -> None:
        super().__init__()
        self.lm, self.processor = lm, processor
        self.utterances, self.clips = utterances.reset_index(drop=True), clips

    def activation_checkpointing_enable(self) -> None:
        self.lm.gradient_checkpointing_enable()

    def read(self, utterance: torch.Tensor, **inputs: Any) -> ModelOutput:
        """What the model returns of inputs with the sound of some utterances, (n,), in them."""
        heard = {
            name: tensor.to(self.lm.device, self.lm.dtype if tensor.is_floating_point() else None)
            for name, tensor in self._heard(utterance.tolist()).items()
        }
        return self.lm(**inputs, **heard)

    def inputs(self, examples: pd.DataFrame) -> Batch:
        """What is read of some examples, which `encoded_with_sound` has encoded."""
        padding = self.processor.tokenizer.pad_token_id or 0
        return model_inputs(examples["input_ids"].tolist(), padding) | {
            "utterance": torch.tensor(examples["number"].tolist())
        }

    def encoded_with_sound(self, examples: pd.DataFrame, prompt: str) -> pd.DataFrame:
        """A prompt about each example, with as many tokens as the sound has vectors.

        Parameters
        ----------
        examples
            Columns `id` and `text` (str, or None for no text).
        prompt
            What follows the sound; `WORDS` in it becomes the example's words, whatever they spell.

        Returns
        -------
        pandas.DataFrame
            The examples with `number`, `input_ids`, `part`, `n_text_tokens`, `n_audio_tokens` and
            `cut`, which tells sound that is longer than the model hears.
        """
        before, is_read, after = self.asked(prompt).partition(WORDS)
        tokenizer = self.processor.tokenizer
        texts = [text_or_none(text) or "" if is_read else "" for text in examples["text"]]
        words = PlainText(tokenizer).encode(texts, [False] * len(texts))
        last = tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
        numbers = {name: number for number, name in enumerate(self.utterances["id"])}
        rows = []
        for name, of_text in zip(examples["id"], words, strict=True):
            first, is_cut = self._with_places(numbers[name], before)
            is_sound = first == self.processor.audio_token_id
            parts = [np.where(is_sound, AUDIO, FRAME), [TEXT] * len(of_text), [FRAME] * len(last)]
            ids = np.concatenate([first, of_text, last]).astype(np.int64)
            part = np.concatenate(parts)
            rows.append((numbers[name], ids, part, len(of_text), int(is_sound.sum()), is_cut))
        columns = ["number", "input_ids", "part", "n_text_tokens", "n_audio_tokens", "cut"]
        found = pd.DataFrame(rows, columns=columns, index=examples.index)
        return examples.assign(**{name: found[name] for name in columns})

    def asked(self, prompt: str) -> str:
        """The user's turn, sound and then a prompt, as the model's chat template writes it."""
        content = [{"type": "audio"}, {"type": "text", "text": prompt}]
        turns = [{"role": "user", "content": content}]
        with readable_errors("model", self.lm.name_or_path):
            return self.processor.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )

    def _with_places(self, number: int, before: str) -> tuple[np.ndarray, bool]:
        """Ids of what comes before the words, and whether the end of the sound is not heard."""
        (waveform,) = self._waveforms([number])
        processed = self._processed([before], [waveform])
        longest = getattr(self.processor.feature_extractor, "n_samples", None)
        is_cut = longest is not None and len(waveform) > longest
        return processed["input_ids"][0].numpy(), is_cut

    def _heard(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        """What the model reads of the sound, beside the text."""
        text = [self.asked("")] * len(numbers)
        processed = self._processed(text, self._waveforms(numbers))
        return {
            name: tensor
            for name, tensor in processed.items()
            if name not in ("input_ids", "attention_mask")
        }

    def _processed(self, text: list[str], sound: list[np.ndarray]) -> Mapping[str, torch.Tensor]:
        processed = self.processor(
            text=text,
            audio=sound,
            sampling_rate=self.processor.feature_extractor.sampling_rate,
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        if FEATURES not in processed:
            raise InputError(
                f"model: {type(self.processor).__name__} made no {FEATURES} of the sound; this "
                "class of models is not known here"
            )
        return processed

    def _waveforms(self, numbers: list[int]) -> list[np.ndarray]:
        rate = self.processor.feature_extractor.sampling_rate
        return list(waveforms(self.utterances.iloc[numbers], rate, self.clips))
