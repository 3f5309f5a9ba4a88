"""A tiny audio language model of Qwen2-Audio's class, with its processor, and tones to hear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from tests.unit.tiny_models import SIZES, byte_level
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.digests import fingerprint

AUDIO_TOKEN = "<|AUDIO|>"
SPECIAL = ["<|im_start|>", "<|im_end|>", AUDIO_TOKEN, "<|audio_bos|>", "<|audio_eos|>"]
LONGEST = 2  # seconds that it hears
RATE = 16_000


def save_audio_lm(folder: Path) -> str:
    """Its weights are large enough to tell what it hears apart."""
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(SPECIAL),
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=SPECIAL,
    )
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=LONGEST)
    heard = Qwen2AudioEncoderConfig(
        num_mel_bins=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        d_model=16,
        max_source_positions=LONGEST * 50,
        initializer_range=0.1,
    )
    read = Qwen2Config(
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        initializer_range=0.2,
        **SIZES | {"max_position_embeddings": 512},
    )
    config = Qwen2AudioConfig(
        audio_config=heard,
        text_config=read,
        audio_token_index=tokenizer.convert_tokens_to_ids(AUDIO_TOKEN),
        initializer_range=0.1,
    )
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    Qwen2AudioProcessor(extractor, tokenizer).save_pretrained(folder)
    return str(folder)


def made_tones(folder: Path, n: int) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Utterances of one or two clips whose class is told by their pitch, and a job's files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    rows = []
    for number in range(n):
        label = rng.choice(["calm", "loud"])
        paths = [str(folder / f"{number}-{part}.wav") for part in range(1 + number % 2)]
        for path in paths:
            seconds = rng.uniform(0.2, 0.8)
            time = np.arange(int(seconds * RATE)) / RATE
            pitch = rng.uniform(200, 300) * (8 if label == "loud" else 1)
            soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time), RATE)
        split = ("train", "train", "validation", "test")[number % 4]
        rows.append((f"u{number}", label, split, "the cat", paths))
    utterances = pd.DataFrame(rows, columns=["id", "label", "split", "text", "audio"])
    return utterances, written(folder, utterances)


def written(folder: Path, utterances: pd.DataFrame) -> dict[str, list[str]]:
    """The files of each role."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {role: str(folder / f"{role}.parquet") for role in ("token_texts", "manifest", "clips")}
    utterances.drop(columns="audio").assign(audio_tokens=None).to_parquet(names["token_texts"])
    utterances[["id", "audio"]].to_parquet(names["manifest"])
    clips = {clip: fingerprint(clip) for audio in utterances["audio"] for clip in audio}
    RecordedClips(clips).write(names["clips"])
    return {role: [path] for role, path in names.items()}
