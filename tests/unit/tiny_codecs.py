"""Tiny audio models of every class, saved as a user's own model directory would be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import (
    DacConfig,
    DacFeatureExtractor,
    DacModel,
    EncodecConfig,
    EncodecFeatureExtractor,
    EncodecModel,
    FeatureExtractionMixin,
    HubertConfig,
    HubertModel,
    MimiConfig,
    MimiModel,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
    XcodecConfig,
    XcodecModel,
)

CODEBOOK_SIZE = 64
TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    # Ten times the usual: otherwise one layer is hardly different from the next.
    "initializer_range": 0.2,
}
# The convolutions of the real models: 20 ms from frame to frame, 25 ms long.
WAVEFORM_TRANSFORMER = {
    **TRANSFORMER,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def sound(seed: int, n_samples: int) -> np.ndarray:
    """Noise whose loudness and colour change, float32."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.2, n_samples)
    time = np.arange(n_samples) / 16_000
    hum = np.sin(2 * np.pi * 150 * time * (1 + 0.2 * np.sin(3 * time)))
    loudness = 0.05 + np.square(np.sin(2 * np.pi * rng.uniform(1, 3) * time + seed))
    return (loudness * (noise + 0.3 * hum)).astype(np.float32)


def encodec(**changes: object) -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    config = EncodecConfig(
        sampling_rate=8_000,
        num_filters=8,
        hidden_size=16,
        upsampling_ratios=[5, 5, 3, 2],
        codebook_size=CODEBOOK_SIZE,
        target_bandwidths=[0.5, 1.0, 2.0],
        **changes,
    )
    extractor = EncodecFeatureExtractor(
        feature_size=config.audio_channels,
        sampling_rate=config.sampling_rate,
        chunk_length_s=config.chunk_length_s,
        overlap=config.overlap,
    )
    return EncodecModel(config), extractor


def mimi() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    config = MimiConfig(
        sampling_rate=8_000,
        num_filters=8,
        upsampling_ratios=[4, 4, 2, 2],
        num_quantizers=5,
        num_semantic_quantizers=2,
        codebook_size=CODEBOOK_SIZE,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
        upsample_groups=16,
        head_dim=8,
        num_key_value_heads=2,
        layer_scale_initial_scale=0.5,
        **TRANSFORMER,
    )
    return MimiModel(config), EncodecFeatureExtractor(sampling_rate=config.sampling_rate)


def dac() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    config = DacConfig(
        sampling_rate=8_000,
        encoder_hidden_size=8,
        decoder_hidden_size=16,
        downsampling_ratios=[2, 4, 5, 2],
        n_codebooks=4,
        codebook_size=CODEBOOK_SIZE,
        codebook_dim=4,
    )
    extractor = DacFeatureExtractor(
        sampling_rate=config.sampling_rate, hop_length=config.hop_length
    )
    return DacModel(config), extractor


def xcodec() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    config = XcodecConfig(
        codebook_size=CODEBOOK_SIZE,
        target_bandwidths=[0.3, 0.6, 1.2],
        acoustic_model_config={
            "model_type": "dac",
            "encoder_hidden_size": 8,
            "decoder_hidden_size": 16,
            "downsampling_ratios": [8, 5, 4, 2],
            "upsampling_ratios": [8, 5, 4, 2],
            "hidden_size": 16,
        },
        semantic_model_config={"model_type": "hubert", **WAVEFORM_TRANSFORMER},
    )
    extractor = DacFeatureExtractor(sampling_rate=16_000, hop_length=config.hop_length)
    return XcodecModel(config), extractor


def hubert() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    return HubertModel(HubertConfig(**WAVEFORM_TRANSFORMER)), Wav2Vec2FeatureExtractor()


def hubert_large() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    """As the large models are: normalised before, and once more after the last layer."""
    config = HubertConfig(
        do_stable_layer_norm=True, feat_extract_norm="layer", **WAVEFORM_TRANSFORMER
    )
    return HubertModel(config), Wav2Vec2FeatureExtractor(do_normalize=False)


def wavlm() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    return WavLMModel(WavLMConfig(**WAVEFORM_TRANSFORMER)), Wav2Vec2FeatureExtractor()


def whisper() -> tuple[PreTrainedModel, FeatureExtractionMixin]:
    """Windows of 3 s instead of 30."""
    config = WhisperConfig(
        vocab_size=20,
        num_mel_bins=20,
        d_model=16,
        encoder_layers=3,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        init_std=0.2,
        max_source_positions=150,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return WhisperModel(config), WhisperFeatureExtractor(feature_size=20, chunk_length=3)


CODECS = {"encodec": encodec, "mimi": mimi, "dac": dac, "xcodec": xcodec}
SPEECH_MODELS = {
    "hubert": hubert,
    "hubert_large": hubert_large,
    "wavlm": wavlm,
    "whisper": whisper,
}


def save(
    folder: Path,
    build: Callable[..., tuple[PreTrainedModel, FeatureExtractionMixin]],
    **changes: object,
) -> str:
    """Build a model with random weights and save it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, extractor = build(**changes)
        model.eval()
        _remove_biases(model)
        if build in (encodec, mimi, xcodec) and not changes:
            _spread_codebooks(model)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return str(folder)


@torch.inference_mode()
def _remove_biases(model: PreTrainedModel) -> None:
    """Random biases drown the sound: all frames would be near ties between the same codes."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d) and module.bias is not None:
            module.bias.zero_()


@torch.inference_mode()
def _spread_codebooks(model: PreTrainedModel) -> None:
    """Let the codebooks, which start as zeros, hold what the model leaves to quantise of sounds.

    Otherwise all codes would be the same, and every test would pass.
    """
    embedded: list[torch.Tensor] = []
    quantise = model.quantizer.encode

    def record(embeddings: torch.Tensor, *options: object) -> torch.Tensor:
        embedded.append(embeddings)
        return quantise(embeddings, *options)

    model.quantizer.encode = record
    model.encode(torch.from_numpy(sound(99, 32_000))[None, None])
    del model.quantizer.encode

    for quantizer, layers in _residual_quantizers(model.quantizer):
        project = getattr(quantizer, "input_proj", None) or torch.nn.Identity()
        residual = project(embedded[0])[0].T
        for layer in layers:
            codebook = layer.codebook
            table = codebook.embed_sum if hasattr(codebook, "embed_sum") else codebook.embed
            table.copy_(residual.mean(0) + residual.std(0) * torch.randn_like(table))
            residual = residual - table[torch.cdist(residual, table).argmin(dim=1)]


def _residual_quantizers(
    quantizer: torch.nn.Module,
) -> list[tuple[torch.nn.Module, torch.nn.ModuleList]]:
    """Every residual quantiser with its layers: Mimi has two, the others one."""
    if hasattr(quantizer, "semantic_residual_vector_quantizer"):
        parts = [
            quantizer.semantic_residual_vector_quantizer,
            quantizer.acoustic_residual_vector_quantizer,
        ]
        return [(part, part.layers) for part in parts]
    return [(quantizer, getattr(quantizer, "layers", None) or quantizer.quantizers)]
