"""What fine-tuning holds in memory on the processor, as texts of ever new lengths come by.

    PYTHONPATH=workflow_scripts python bench/memory.py [--steps 48]

trains the default language model in bfloat16, twice, in a process each: with torch's own limits on
the kernels that it keeps for shapes it has met, and with those of
`speechlasso.training.processor_memory`.
A step is 32 texts of one length between 140 and 330 tokens.

It prints the memory and the time of both and, as the last line, one JSON object. It takes about
five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

BATCH_SIZE, SHORTEST, LONGEST, N_CLASSES = 32, 140, 330, 7
# What both limits are by themselves.
TORCHS_OWN = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=48, help="training steps of each process")
    parser.add_argument("--alone", action="store_true", help="take the steps, in this process")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(trained(options.steps)))
        return
    found = {"torch": in_process(options.steps, TORCHS_OWN), "ours": in_process(options.steps, {})}
    for limits, result in found.items():
        print(f"{limits}: {result['gigabytes']:.2f} GB, {result['seconds']:.2f} s a step")
    ratios = {
        quantity: round(found["ours"][quantity] / found["torch"][quantity], 3)
        for quantity in ("gigabytes", "seconds")
    }
    memory, duration = ratios.values()
    print(f"ours takes {memory:.2f} of the memory and {duration:.2f} of the time")
    print(json.dumps({"steps": options.steps, "ratio": ratios} | found))


def in_process(steps: int, limits: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, __file__, "--alone", "--steps", str(steps)]
    ended = subprocess.run(
        command, env=os.environ | limits, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(ended.stdout)


def trained(steps: int) -> dict[str, float]:
    """Memory of this process at the end, and seconds a step."""
    import numpy as np
    import psutil
    import torch
    from transformers import AutoModelForSequenceClassification

    from speechlasso.language_model.pretrained import load_model
    from speechlasso.language_model.settings import LanguageModel
    from speechlasso.training.devices import autocast, computing

    lengths = np.random.default_rng(1).integers(SHORTEST, LONGEST, steps)
    with computing(torch.get_num_threads(), seed=1):
        model = load_model(
            LanguageModel(), AutoModelForSequenceClassification, seed=1, num_labels=N_CLASSES
        ).model
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        started = time.perf_counter()
        for length in lengths:
            ids = torch.randint(1000, 30_000, (BATCH_SIZE, length))
            labels = torch.randint(N_CLASSES, (BATCH_SIZE,))
            with autocast("bf16", torch.device("cpu")):
                loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds = (time.perf_counter() - started) / steps
    return {"gigabytes": psutil.Process().memory_info().rss / 1e9, "seconds": seconds}


if __name__ == "__main__":
    main()
