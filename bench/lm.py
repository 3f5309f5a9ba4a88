"""Adapting and fine-tuning a language model against the published way, in the same run.

    PYTHONPATH=workflow_scripts python bench/lm.py [--steps 12]

makes a Llama with random weights (36 million parameters, 128,000 tokens, tied) and token texts
whose words are as many as in the fallacy classification task (MM-ArgFallacy2025, afc.csv) and whose
audio tokens are 50 on average, out of 100. Each way runs in a process of its own, in float32, on
the GPU where there is one.

The published way (arXiv 2512.07571), written out here: adaptation lets the whole embedding matrix
learn under a hook that zeroes the gradient of its old rows, with AdamW over all of them; scores and
loss are computed at every position; all texts are padded to the longest of the data set; and the
tokenizer puts a space token between audio tokens. Fine-tuning pads to the longest as well. peft's
trainable tokens, with batches of like length as our fine-tuning has them, stand beside it, and our
adaptation on such batches in place of packed ones.

It prints two tables and, as the last line, one JSON object. On two cores it takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, TrainableTokensConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from speechlasso.language_model.loss import IGNORED, language_model_loss
from speechlasso.language_model.new_row_training import train_new_rows
from speechlasso.training.batching import (
    in_rows,
    length_grouped_batches,
    model_inputs,
    packed_inputs,
    padded,
    random_batches,
    shared_rows,
)

VOCABULARY, N_NEW, SPACE = 128_000, 104, 220
NEW_IDS = list(range(VOCABULARY, VOCABULARY + N_NEW))
PADDING = 0
LEARNING_RATE, N_CLASSES = 3e-4, 6
BATCH_SIZE = {"adapt": 8, "finetune": 32}
WORD_DECILES = [1, 7, 9, 13, 16, 20, 24, 30, 38, 49, 167]
"""Words of a text in afc.csv; its tokenizer makes about 1.3 tokens of a word."""

Batch = dict[str, torch.Tensor]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def token_texts(n: int, seed: int, *, audio: bool) -> list[np.ndarray]:
    """Token ids of texts and, between markers, of their audio tokens."""
    rng = np.random.default_rng(seed)
    lengths = 1.3 * np.interp(rng.random(n), np.linspace(0, 1, 11), WORD_DECILES)
    texts = []
    for length in lengths.astype(int) + 1:
        # A peaked distribution over words, so that there is something to learn.
        words = np.minimum(rng.zipf(1.3, size=length) + 300, VOCABULARY - 1)
        if audio:
            tokens = rng.choice(NEW_IDS[4:], rng.poisson(50) + 1)
            parts = (NEW_IDS[:1], words, NEW_IDS[1:3], tokens, NEW_IDS[3:4])
            words = np.concatenate(parts).astype(np.int64)
        texts.append(words)
    return texts


def with_spaces(text: np.ndarray) -> np.ndarray:
    """A space token after each audio token, as the published tokenizer makes it."""
    return np.concatenate([[i, SPACE] if i >= NEW_IDS[4] else [i] for i in text])


def batches(texts: list[np.ndarray], size: int, *, grouped: bool) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    if grouped:
        rows = length_grouped_batches(np.array([len(text) for text in texts]), size, rng)
    else:
        rows = random_batches(len(texts), size, rng)
    return [[texts[row] for row in batch] for batch in rows]


def to_longest(texts: list[np.ndarray], longest: int) -> Batch:
    """`model_inputs`, but padded to the longest text of the data set."""
    inputs = model_inputs([*texts, np.zeros(longest, dtype=np.int64)], PADDING)
    return {name: tensor[:-1] for name, tensor in inputs.items()}


def llama(model_class: type) -> torch.nn.Module:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY + N_NEW,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        tie_word_embeddings=True,
        num_labels=N_CLASSES,
        pad_token_id=PADDING,
        bos_token_id=1,
        eos_token_id=2,
    )
    return model_class(config).to(device())


Step = Callable[[list[np.ndarray]], torch.Tensor]


def adapt_as_published(texts: list[np.ndarray]) -> tuple[torch.nn.Module, Step]:
    longest = max(map(len, texts))
    model = llama(LlamaForCausalLM)
    model.requires_grad_(False)
    matrix = model.get_input_embeddings().weight.requires_grad_(True)
    is_new = torch.zeros(len(matrix), 1, device=device())
    is_new[NEW_IDS] = 1
    matrix.register_hook(lambda gradient: gradient * is_new)

    def loss(batch: list[np.ndarray]) -> torch.Tensor:
        inputs = on_device(to_longest(batch, longest))
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED)
        return model(**inputs, labels=labels).loss

    return model, loss


def adapt_by_peft(texts: list[np.ndarray]) -> tuple[torch.nn.Module, Step]:
    config = TrainableTokensConfig(token_indices=NEW_IDS, target_modules=["embed_tokens"])
    model = get_peft_model(llama(LlamaForCausalLM), config)

    def loss(batch: list[np.ndarray]) -> torch.Tensor:
        labels = padded(batch, IGNORED).to(device())
        return model(**on_device(model_inputs(batch, PADDING)), labels=labels).loss

    return model, loss


def adapt_as_here(is_packed: bool) -> tuple[torch.nn.Module, Step]:
    model = llama(LlamaForCausalLM)
    model.requires_grad_(False)
    rows = train_new_rows(model, NEW_IDS)

    def loss(batch: list[np.ndarray]) -> torch.Tensor:
        labels = [np.append(text[1:], IGNORED) for text in batch]
        if is_packed:
            shared = shared_rows(np.array([len(text) for text in batch]))
            inputs, labels = packed_inputs(batch, shared, PADDING), in_rows(labels, shared)
        else:
            inputs = model_inputs(batch, PADDING)
        inputs["labels"] = padded(labels, IGNORED)
        n_predictions = int((inputs["labels"] != IGNORED).sum())
        return language_model_loss(model, rows, on_device(inputs)) / n_predictions

    return model, loss


def classify(texts: list[np.ndarray], to_the_longest: bool) -> tuple[torch.nn.Module, Step]:
    """LoRA as published: rank 64, alpha 16, on queries and values; dropout is left out."""
    longest = max(map(len, texts))
    config = LoraConfig(r=64, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(llama(LlamaForSequenceClassification), config)
    model.base_model.model.score.weight.requires_grad_(True)

    def loss(batch: list[np.ndarray]) -> torch.Tensor:
        inputs = to_longest(batch, longest) if to_the_longest else model_inputs(batch, PADDING)
        # A class that the text tells.
        labels = torch.tensor([int(text[0]) % N_CLASSES for text in batch], device=device())
        return F.cross_entropy(model(**on_device(inputs)).logits, labels)

    return model, loss


WAYS = {
    "adapt": {
        "published": adapt_as_published,
        "peft": adapt_by_peft,
        "not packed": lambda _: adapt_as_here(is_packed=False),
        "speechlasso": lambda _: adapt_as_here(is_packed=True),
    },
    "finetune": {
        "published": lambda texts: classify(texts, to_the_longest=True),
        "speechlasso": lambda texts: classify(texts, to_the_longest=False),
    },
}


def on_device(batch: Batch) -> Batch:
    return {name: tensor.to(device()) for name, tensor in batch.items()}


def run(task: str, way: str, n_steps: int) -> dict[str, object]:
    """Train on the same batches as every other way, for the losses; then on its own, for time.

    The last of the losses is of held-out texts.
    """
    size = BATCH_SIZE[task]
    texts = token_texts(size * n_steps, seed=1, audio=task == "adapt")
    held_out = token_texts(size, seed=2, audio=task == "adapt")
    model, loss = WAYS[task][way](texts + held_out)
    losses = list(trained(model, loss, [texts[:size]] * 2 + [texts[-size:]] * 2))
    with torch.no_grad():
        losses.append(loss(held_out).item())
    del model, loss

    own = texts
    if task == "adapt" and way == "published":
        own = [with_spaces(text) for text in texts]
    model, loss = WAYS[task][way](own)
    is_random = way == "published" or (task, way) == ("adapt", "speechlasso")
    of_steps = batches(own, size, grouped=not is_random)
    next(trained(model, loss, of_steps[:1]))  # warm
    started = time.perf_counter()
    for _ in trained(model, loss, of_steps):
        pass
    seconds = time.perf_counter() - started
    return {
        "losses": losses,
        "examples_per_second": len(own) / seconds,
        "peak_memory_mb": peak_memory_mb(),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def trained(
    model: torch.nn.Module, loss: Step, of_steps: list[list[np.ndarray]]
) -> Iterator[float]:
    """Losses of the steps of AdamW, with gradients clipped to norm 1."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    for batch in of_steps:
        value = loss(batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield value.item()


def peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def in_own_process(task: str, way: str, n_steps: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--run", task, way, "--steps", str(n_steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps",
        type=int,
        default=12,
        help="steps that are timed: of 8 token texts (adapting) or 32 texts (fine-tuning)",
    )
    parser.add_argument("--run", nargs=2, metavar=("TASK", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(*options.run, options.steps)))
        return
    results: dict[str, object] = {"device": device().type, "threads": torch.get_num_threads()}
    for task, ways in WAYS.items():
        found = {way: in_own_process(task, way, options.steps) for way in ways}
        print(f"\n{task}: texts/s, peak MB, trainable, largest difference of a loss")
        published = found["published"]
        for way, result in found.items():
            result["difference"] = max(
                abs(a - b) for a, b in zip(result["losses"], published["losses"], strict=True)
            )
            result["speed_ratio"] = result["examples_per_second"] / published["examples_per_second"]
            result["memory_ratio"] = result["peak_memory_mb"] / published["peak_memory_mb"]
            print(
                f"{way:<12} {result['examples_per_second']:8.2f} ({result['speed_ratio']:.1f}x) "
                f"{result['peak_memory_mb']:8.0f} ({result['memory_ratio']:.2f}x) "
                f"{result['trainable']:12,d}  {result['difference']:.1e}"
            )
        results[task] = found
    print(json.dumps(results))


if __name__ == "__main__":
    main()
