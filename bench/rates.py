"""How fast encoders and language models of published sizes are on this machine, for planning.

    PYTHONPATH=workflow_scripts python bench/rates.py

has speech encoders read sounds of 2 to 12 s, and language models learn to classify texts of 128
tokens, as the project does both, with random weights, on the GPU where there is one. It prints how
many hours of sound an hour encodes, and how many texts an hour of training reads, and as the last
line one JSON object. Models that a processor would take too long for are left to GPUs.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from speechlasso.features.hidden_states import load_hidden_states
from speechlasso.training.devices import autocast, best_device

SAMPLE_RATE = 16_000
ON_GPU = torch.cuda.is_available()
N_SOUNDS = 512 if ON_GPU else 8
N_TOKENS, BATCH_SIZE, N_STEPS = 128, 32, 12 if ON_GPU else 2


def main() -> None:
    name = torch.cuda.get_device_name() if ON_GPU else f"{torch.get_num_threads()} threads"
    print(f"{name}\n\n| encoder, last layer | times real time |\n|---|---|")
    rates: dict[str, float] = {}
    for encoder, (make, last) in ENCODERS.items():
        for precision in ("fp32", "bf16") if ON_GPU else ("fp32",):
            rates[f"{encoder}, {precision}"] = times_real_time(make, last, precision)
            print(
                f"| {encoder}, {precision} | {rates[f'{encoder}, {precision}']:.0f} |", flush=True
            )
    print("\n| language model, texts of 128 tokens | texts a second |\n|---|---|")
    for model, (make, is_large) in LANGUAGE_MODELS.items():
        if is_large and not ON_GPU:
            continue
        rates[model] = texts_a_second(make)
        print(f"| {model} | {rates[model]:.1f} |", flush=True)
    print(
        json.dumps({"device": name, "rates": {key: round(rate, 2) for key, rate in rates.items()}})
    )


def whisper_tiny(folder: Path) -> None:
    config = WhisperConfig(
        d_model=384, encoder_layers=4, decoder_layers=1, encoder_attention_heads=6
    )
    config.encoder_ffn_dim, config.decoder_attention_heads = 1536, 6
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def wavlm(**sizes: int | str | bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        WavLMModel(WavLMConfig(**sizes)).save_pretrained(folder)
        Wav2Vec2FeatureExtractor().save_pretrained(folder)

    return make


LARGE = {
    **{"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"intermediate_size": 4096, "do_stable_layer_norm": True, "feat_extract_norm": "layer"},
}
ENCODERS = {
    "Whisper tiny (8 million)": (whisper_tiny, 4),
    "WavLM base (95 million)": (wavlm(), 12),
    "WavLM large (316 million)": (wavlm(**LARGE), 24),
}


def times_real_time(make: Callable[[Path], None], last: int, precision: str) -> float:
    random = np.random.default_rng(1)
    lengths = random.uniform(2, 12, N_SOUNDS) * SAMPLE_RATE
    sounds = [random.normal(0, 0.1, int(length)).astype(np.float32) for length in lengths]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        encode = load_hidden_states(folder, None, [last], precision, own_length=True).encoder.encode
    encode(sounds[:16])
    started = time.perf_counter()
    encode(sounds)
    return sum(map(len, sounds)) / SAMPLE_RATE / (time.perf_counter() - started)


def bert(**sizes: int) -> Callable[[], torch.nn.Module]:
    return lambda: BertForSequenceClassification(BertConfig(num_labels=7, **sizes))


def llama_of_3_billion() -> torch.nn.Module:
    """As wide and deep as Llama 3.2 3B, its updates of rank 64 as published."""
    config = LlamaConfig(
        **{"vocab_size": 128_256, "hidden_size": 3072, "intermediate_size": 8192},
        **{"num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8},
        **{"tie_word_embeddings": True, "num_labels": 7, "pad_token_id": 0},
    )
    lora = LoraConfig(r=64, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="SEQ_CLS")
    with torch.device(best_device()):
        return get_peft_model(LlamaForSequenceClassification(config).bfloat16(), lora)


LANGUAGE_MODELS = {
    "MiniLM, 6 layers (22 million), all weights": (
        bert(hidden_size=384, num_hidden_layers=6, intermediate_size=1536),
        False,
    ),
    "BERT base (110 million), all weights": (bert(), False),
    "Llama, 28 layers (3.2 billion), LoRA": (llama_of_3_billion, True),
}


def texts_a_second(make: Callable[[], torch.nn.Module]) -> float:
    device = best_device()
    torch.manual_seed(1)
    model = make().to(device).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-5, fused=True)
    ids = torch.randint(1000, 30_000, (BATCH_SIZE, N_TOKENS), device=device)
    labels = torch.randint(7, (BATCH_SIZE,), device=device)

    def step() -> float:
        with autocast("auto", device):
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()  # waits for the GPU

    step()
    started = time.perf_counter()
    for _ in range(N_STEPS):
        step()
    return BATCH_SIZE * N_STEPS / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
