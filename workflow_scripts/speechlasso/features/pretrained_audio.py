"""Pretrained audio models of transformers: from a local directory or the Hugging Face hub.

Code that comes with a model is never run. Weights are read as safetensors or, where a model has
none, by torch's reader that takes weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    FeatureExtractionMixin,
    PreTrainedModel,
    WhisperFeatureExtractor,
)

from speechlasso.errors import InputError
from speechlasso.features.torch_encoding import Precision
from speechlasso.features.whisper_file import read_whisper
from speechlasso.hub import loaded, readable_errors
from speechlasso.packaged_models import package_hint, packaged_weights
from speechlasso.training.devices import best_device


class PretrainedAudio(NamedTuple):
    """A model with its float32 weights, and what turns a waveform into its input."""

    model: PreTrainedModel
    extractor: FeatureExtractionMixin

    def prepare(self, waveform: np.ndarray) -> np.ndarray:
        """Normalise and pad a clip as its authors do, float32 (n_samples,)."""
        features = self.extractor(
            waveform, sampling_rate=self.extractor.sampling_rate, return_tensors="np"
        )
        return features["input_values"].reshape(-1)


def load_pretrained(
    name: str,
    revision: str | None,
    classes: Mapping[str, type[PreTrainedModel]],
    precision: Precision,
    section: str = "tokenizer",
) -> PretrainedAudio:
    """Load a model for inference, onto the GPU if there is one.

    Parameters
    ----------
    name
        Local directory or hub id.
    revision
        Commit of the model on the hub.
    classes
        The class to load for each `model_type` that will do.
    precision
        What it is to compute in; the weights are float32 in any case.
    section
        Of the configuration, where the model is named.

    Raises
    ------
    InputError
        If the model cannot be found or read, is of another type, or lacks weights; for bf16 without
        a GPU.
    """
    device = best_device()
    _check_precision(precision, device, section)
    if weights := packaged_weights(name, revision):
        whisper = _for_inference(read_whisper(weights), device)
        return PretrainedAudio(whisper, WhisperFeatureExtractor(whisper.config.num_mel_bins))
    source = {"name": name, "revision": revision}
    with readable_errors(f"{section}.model", name, package_hint(name)):
        model_type = loaded(AutoConfig, **source).model_type
    if model_type not in classes:
        raise InputError(
            f"{section}.model: {name!r} is a model of type {model_type}, but "
            f"{' or '.join(classes)} is needed; name another model"
        )
    with readable_errors(f"{section}.model", name, package_hint(name)):
        extractor = loaded(AutoFeatureExtractor, **source)
        model, info = loaded(
            classes[model_type],
            **source,
            dtype=torch.float32,
            weights_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    random = info["missing_keys"] | {key for key, *_ in info["mismatched_keys"]}
    _check_weights(section, name, random)
    return PretrainedAudio(_for_inference(model, device), extractor)


def _for_inference(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    return model.eval().requires_grad_(False).to(device)


def _check_precision(precision: Precision, device: torch.device, section: str) -> None:
    """Refuse bfloat16 on processors: there torch 2.13 computes some convolutions wrong.

    Seen with AMX, where it saves at most a third of the time; pytorch issue 169688 is of the kind.
    """
    if precision == "bf16" and device.type == "cpu":
        raise InputError(
            f"{section}.precision: bf16 needs a GPU, and there is none here; use fp32, which is "
            "hardly slower on processors"
        )


def _check_weights(section: str, name: str, random: set[str]) -> None:
    """Refuse a model of which parts would be random; masks are of use in training alone."""
    missing = sorted(key for key in random if not key.endswith("masked_spec_embed"))
    if missing:
        raise InputError(
            f"{section}.model: the files of {name!r} lack {len(missing)} weights of the model as "
            f"its config.json describes it, such as {missing[0]}; choose a complete model"
        )
