"""Hidden states of self-supervised speech models and of Whisper's encoder, as frames.

Sources: HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022), Whisper (Radford et al. 2023).

HuBERT and WavLM read a clip normalised as their feature extractor says, 50 frames a second, the
first one of 25 ms. Whisper reads log-mel spectra of 30 s, silence added at the end, whose frames
are dropped; or, at a fraction of the cost, clips at their own length, which it was not trained on.
In all of them every frame attends to all others (and the models with
`feat_extract_norm: group` normalise over the clip), so the frames of a clip longer than 30 s, cut
into overlapping windows, come close to those of the whole clip but cannot equal them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import HubertModel, WavLMModel, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechlasso.errors import InputError
from speechlasso.features.pretrained_audio import PretrainedAudio, load_pretrained
from speechlasso.features.torch_encoding import FrameEncoder, Precision
from speechlasso.training.devices import best_device

SAMPLE_RATE = 16_000  # Hz, of all these models
WINDOW_SECONDS = 30.0  # Whisper's; the others were trained on shorter ones
CONTEXT = 1 / 6  # of a window: 5 s
SPECTRA_AT_ONCE = 4  # each costs as much as 30 s of sound, however short the clip
MODELS = {"hubert": HubertModel, "wavlm": WavLMModel, "whisper": WhisperModel}


@dataclass(frozen=True)
class HiddenStates:
    """Encoder to frames of some layers, float32 (n_frames, n_layers, size) for a clip."""

    encoder: FrameEncoder
    layers: list[int]
    size: int

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return SAMPLE_RATE / self.encoder.hop

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self.encoder.encode(waveforms)


def load_hidden_states(
    name: str,
    revision: str | None,
    layers: Sequence[int] | None,
    precision: Precision,
    section: str = "tokenizer",
    own_length: bool = False,
) -> HiddenStates:
    """Open a model up to the last of some layers.

    Parameters
    ----------
    name, revision
        Local directory or hub id, and its commit.
    layers
        Indices into transformers' `hidden_states`: 0 is the input embedding, n the output of the
        n-th layer; None for all.
    section
        Of the configuration, for messages.
    own_length
        Whether Whisper reads clips as they are, without the silence that fills its window.

    Raises
    ------
    InputError
        If the model cannot be loaded, is of another type, or has fewer layers; for bf16 without a
        GPU.
    """
    pretrained = load_pretrained(name, revision, MODELS, precision, section)
    config, rate = pretrained.model.config, pretrained.extractor.sampling_rate
    n_layers = config.num_hidden_layers
    layers = list(range(n_layers + 1) if layers is None else layers)
    if max(layers) > n_layers:
        raise InputError(
            f"{section}: layer {max(layers)} is more than the {n_layers} layers of {name!r} "
            "(0 is the input embedding)"
        )
    if rate != SAMPLE_RATE:
        raise InputError(f"{section}.model: {name!r} takes {rate} Hz, expected {SAMPLE_RATE}")
    if config.model_type == "whisper":
        encoder = _of_spectra(pretrained, layers, precision, own_length)
    else:
        encoder = _of_waveforms(pretrained, layers, precision)
    return HiddenStates(encoder, layers, config.hidden_size)


def _of_waveforms(
    pretrained: PretrainedAudio, layers: list[int], precision: Precision
) -> FrameEncoder:
    """HuBERT and WavLM."""
    model = pretrained.model
    model.encoder.layers = _layers_up_to(model.encoder.layers, max(layers))

    def network(sounds: torch.Tensor) -> np.ndarray:
        states = model(sounds, output_hidden_states=True).hidden_states
        return _as_array(states, layers)

    window = int(WINDOW_SECONDS * SAMPLE_RATE)
    return FrameEncoder(
        network=network,
        prepare=pretrained.prepare,
        sample_rate=SAMPLE_RATE,
        hop=math.prod(model.config.conv_stride),
        shortest=_reach(model.config.conv_kernel, model.config.conv_stride),
        window=window,
        context=int(CONTEXT * window),
        precision=precision,
        device=best_device(),
    )


def _of_spectra(
    pretrained: PretrainedAudio, layers: list[int], precision: Precision, own_length: bool
) -> FrameEncoder:
    """Whisper, which hears every window as a clip of its own."""
    encoder, extractor = pretrained.model.encoder, pretrained.extractor
    encoder.layers = encoder.layers[: max(layers)]
    hop = extractor.hop_length * encoder.conv1.stride[0] * encoder.conv2.stride[0]

    def network(sounds: torch.Tensor) -> np.ndarray:
        n_frames = math.ceil(sounds.shape[1] / hop)
        # A frame for what is left at the end, too.
        waveforms = np.pad(sounds.cpu().numpy(), ((0, 0), (0, n_frames * hop - sounds.shape[1])))
        padding = "longest" if own_length else "max_length"
        features = extractor(
            waveforms, sampling_rate=SAMPLE_RATE, return_tensors="pt", padding=padding
        )
        spectra = features["input_features"].to(sounds.device)
        states = [
            _as_array(_whisper_states(encoder, part), layers)[:, :n_frames]
            for part in spectra.split(SPECTRA_AT_ONCE)
        ]
        return np.concatenate(states)

    return FrameEncoder(
        network=network,
        prepare=lambda waveform: waveform,
        sample_rate=SAMPLE_RATE,
        hop=hop,
        shortest=1,
        window=extractor.n_samples,
        context=int(CONTEXT * extractor.n_samples),
        precision=precision,
        device=best_device(),
    )


def _whisper_states(encoder: WhisperEncoder, spectra: torch.Tensor) -> list[torch.Tensor]:
    """Hidden states of spectra of any length up to the window's, which transformers refuses.

    The first is the input embedding; that of the model's last layer is normalised.
    """
    states = functional.gelu(encoder.conv1(spectra))
    states = functional.gelu(encoder.conv2(states)).transpose(1, 2)
    found = [states + encoder.embed_positions.weight[: states.shape[1]]]
    for layer in encoder.layers:
        found.append(layer(found[-1], None))
    if len(encoder.layers) == encoder.config.encoder_layers:
        found[-1] = encoder.layer_norm(found[-1])
    return found


def _layers_up_to(layers: torch.nn.ModuleList, layer: int) -> torch.nn.ModuleList:
    """The layers to run for `hidden_states[layer]`.

    One more than needed: some models normalise what their last layer returns, so `layer` must not
    become the last one unless it is.
    """
    return layers[: layer + 1]


def _as_array(states: Sequence[torch.Tensor], layers: Sequence[int]) -> np.ndarray:
    """float32 (n_sounds, n_frames, n_layers, size)."""
    return torch.stack([states[layer] for layer in layers], dim=2).float().cpu().numpy()


def _reach(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Samples that one frame of a stack of convolutions is computed from."""
    reach = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        reach = (reach - 1) * stride + kernel
    return reach
