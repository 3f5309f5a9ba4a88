"""What bfloat16 saves on this machine when the default language model is fine-tuned.

    PYTHONPATH=workflow_scripts python bench/precision.py [--steps 5]

takes the same training steps in float32 and under bfloat16 autocast, in turn, each on one batch of
32 texts of 184 tokens, as the lasso's tokens of EmoDB make them. The fastest step of each counts.

It prints both, which of them `lm.precision: auto` takes here, and, as the last line, one JSON
object. It takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from transformers import AutoModelForSequenceClassification

from speechlasso.language_model.pretrained import load_model
from speechlasso.language_model.settings import LanguageModel
from speechlasso.training.devices import autocast, best_device, computing

BATCH_SIZE, LENGTH, N_CLASSES = 32, 184, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5, help="steps of each precision")
    steps = parser.parse_args().steps
    device = best_device()
    with computing(torch.get_num_threads(), seed=1):
        model = load_model(
            LanguageModel(), AutoModelForSequenceClassification, seed=1, num_labels=N_CLASSES
        ).model.to(device)
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        ids = torch.randint(1000, 30_000, (BATCH_SIZE, LENGTH), device=device)
        labels = torch.randint(N_CLASSES, (BATCH_SIZE,), device=device)
        seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
        for _ in range(steps):
            for precision, of_steps in seconds.items():
                started = time.perf_counter()
                with autocast(precision, device):
                    loss = model(input_ids=ids, labels=labels).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                loss.item()  # waits for a GPU
                of_steps.append(time.perf_counter() - started)
        with autocast("auto", device):
            chosen = "bf16" if torch.is_autocast_enabled(device.type) else "fp32"
    fastest = {precision: min(of_steps) for precision, of_steps in seconds.items()}
    ratio = fastest["fp32"] / fastest["bf16"]
    for precision, took in fastest.items():
        print(f"{precision}: {took:.2f} s a step")
    print(f"bf16 is {ratio:.2f} times as fast; lm.precision: auto takes {chosen} here")
    found = {"threads": torch.get_num_threads(), "device": device.type, "auto": chosen}
    print(json.dumps(found | {"ratio": round(ratio, 3)} | fastest))


if __name__ == "__main__":
    main()
