"""The neural codecs that transformers runs: EnCodec, Mimi, DAC and X-Codec, all of them mono.

A clip is encoded as the transformers model encodes it, after the model's own feature extractor.
Clips longer than a window are cut into overlapping windows. For DAC, a stack of convolutions whose
reach is far shorter than the overlap, the codes are those of the whole clip. The others look back
(EnCodec's recurrent layers, Mimi's causal attention) or all around (the attention and the
normalisation over the clip of X-Codec's HuBERT) without a fixed limit, so there a window can only
come close; the number of frames is always that of the whole clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    DacModel,
    EncodecModel,
    MimiModel,
    PreTrainedConfig,
    PreTrainedModel,
    XcodecModel,
)

from speechlasso.errors import InputError
from speechlasso.features.pretrained_audio import PretrainedAudio, load_pretrained
from speechlasso.features.torch_encoding import FrameEncoder, Precision
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.settings import TransformersCodecMethod
from speechlasso.training.devices import best_device


@dataclass(frozen=True)
class Codec:
    """How one kind of codec is called.

    Attributes
    ----------
    codes
        Encodes sounds (n_sounds, 1, n_samples) with the first so many layers, or a few more, to
        (n_sounds, n_layers, n_frames).
    sample_rate, hop, n_layers
        Where its configuration says them: Hz, samples per frame, all layers.
    quantise
        The method of its quantiser that takes the encoder's output.
    window_seconds, context_seconds
        How longer clips are cut: see `FrameEncoder`.
    """

    model_class: type[PreTrainedModel]
    codes: Callable[[PreTrainedModel, torch.Tensor, int], torch.Tensor]
    sample_rate: str = "sampling_rate"
    hop: str = "hop_length"
    n_layers: str = "num_quantizers"
    quantise: str = "encode"
    window_seconds: float = 30.0
    context_seconds: float = 5.0


def _encodec_codes(model: EncodecModel, sounds: torch.Tensor, n_layers: int) -> torch.Tensor:
    # The first axis counts the chunks of models that work in chunks; others have one.
    return model.encode(sounds, bandwidth=_bandwidth(model, n_layers)).audio_codes[0]


def _mimi_codes(model: MimiModel, sounds: torch.Tensor, n_layers: int) -> torch.Tensor:
    # It cannot leave out a layer of its semantic quantiser.
    n_layers = max(n_layers, model.config.num_semantic_quantizers)
    return model.encode(sounds, num_quantizers=n_layers).audio_codes


def _dac_codes(model: DacModel, sounds: torch.Tensor, n_layers: int) -> torch.Tensor:
    return model.encode(sounds, n_quantizers=n_layers).audio_codes


def _xcodec_codes(model: XcodecModel, sounds: torch.Tensor, n_layers: int) -> torch.Tensor:
    return model.encode(sounds, bandwidth=_bandwidth(model, n_layers)).audio_codes


def _bandwidth(model: EncodecModel | XcodecModel, n_layers: int) -> float:
    """The smallest bandwidth, in kbit/s, for which the model uses so many layers."""
    layers_used = model.quantizer.get_num_quantizers_for_bandwidth
    return min(
        bandwidth
        for bandwidth in model.config.target_bandwidths
        if layers_used(bandwidth) >= n_layers
    )


CODECS = {
    "encodec": Codec(EncodecModel, _encodec_codes),
    # Its attention reaches back 10 s in each layer.
    "mimi": Codec(MimiModel, _mimi_codes, hop="frame_size", window_seconds=60, context_seconds=10),
    # Its reach is below 0.2 s, and its first convolutions take much memory.
    "dac": Codec(
        DacModel,
        _dac_codes,
        n_layers="n_codebooks",
        quantise="forward",
        window_seconds=15,
        context_seconds=1,
    ),
    "xcodec": Codec(XcodecModel, _xcodec_codes, sample_rate="sample_rate"),
}


class TransformersCodec:
    """A pretrained neural codec; made by `load`.

    Its attributes are those of `AudioTokenizer`.
    """

    def __init__(self, encoder: FrameEncoder, n_layers: int, codebook_size: int) -> None:
        self.sample_rate = encoder.sample_rate
        self.frame_rate = encoder.sample_rate / encoder.hop
        self.n_layers = n_layers
        self.codebook_size = codebook_size
        self.encoder = encoder

    def encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Codes, int32; see `AudioTokenizer.encode`."""
        return [codes.T for codes in self.encoder.encode(waveforms)]


def load(settings: TransformersCodecMethod, path: str | Path | None = None) -> TransformersCodec:
    """Open the codec that the settings name.

    Parameters
    ----------
    settings
        `method` (a key of CODECS), `model` (None: the usual one), `revision`, `n_layers` (None:
        all) and `precision`.
    path
        Of no use here: nothing is learned.

    Raises
    ------
    InputError
        If the model cannot be loaded, is not of the kind that `method` names, is not a mono model,
        or has fewer layers than wanted; for bf16 without a GPU.
    """
    codec = CODECS[settings.method]
    name = settings.model or TOKENIZERS[settings.method].usual_model
    classes = {settings.method: codec.model_class}
    pretrained = load_pretrained(name, settings.revision, classes, settings.precision)
    config = pretrained.model.config
    _check_mono(name, config)
    n_layers = _wanted_layers(name, settings.n_layers, getattr(config, codec.n_layers))
    if settings.precision == "bf16":
        quantise_in_full_precision(pretrained.model.quantizer, codec.quantise)
    encoder = _frame_encoder(codec, pretrained, n_layers, settings.precision)
    return TransformersCodec(encoder, n_layers, config.codebook_size)


def _frame_encoder(
    codec: Codec, pretrained: PretrainedAudio, n_layers: int, precision: Precision
) -> FrameEncoder:
    model = pretrained.model
    sample_rate = getattr(model.config, codec.sample_rate)

    def network(sounds: torch.Tensor) -> np.ndarray:
        codes = codec.codes(model, sounds[:, None], n_layers)[:, :n_layers]
        return codes.transpose(1, 2).to(torch.int32).cpu().numpy()

    return FrameEncoder(
        network=network,
        prepare=pretrained.prepare,
        sample_rate=sample_rate,
        hop=getattr(model.config, codec.hop),
        shortest=1,
        window=int(codec.window_seconds * sample_rate),
        context=int(codec.context_seconds * sample_rate),
        precision=precision,
        device=best_device(),
    )


def _check_mono(name: str, config: PreTrainedConfig) -> None:
    """Refuse EnCodec's 48 kHz model: stereo, in chunks of a second that are each normalised."""
    channels = getattr(config, "audio_channels", 1)
    chunk_seconds = getattr(config, "chunk_length_s", None)
    normalised = getattr(config, "normalize", False)
    if channels != 1 or chunk_seconds is not None or normalised:
        raise InputError(
            f"tokenizer.model: expected a codec that takes one channel, whole and as it is, but "
            f"{name!r} has audio_channels = {channels}, chunk_length_s = {chunk_seconds}, "
            f"normalize = {normalised}; choose another, such as {TOKENIZERS['encodec'].usual_model}"
        )


def _wanted_layers(name: str, wanted: int | None, n_layers: int) -> int:
    if wanted is not None and wanted > n_layers:
        raise InputError(
            f"tokenizer.n_layers: {wanted} is more than the {n_layers} layers of {name!r}"
        )
    return wanted or n_layers


def quantise_in_full_precision(quantiser: torch.nn.Module, method: str) -> None:
    """Keep a quantiser out of mixed precision: rounded distances have other nearest centroids."""
    plain = getattr(quantiser, method)

    def quantise(embeddings: torch.Tensor, *options: object) -> object:
        with torch.autocast(embeddings.device.type, enabled=False):
            return plain(embeddings.float(), *options)

    setattr(quantiser, method, quantise)
