"""Where and how precisely networks are computed: threads, GPUs, mixed precision, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch

from speechlasso.training import process_memory
from speechlasso.training.processor_memory import keep_few_kernels, keep_freed_memory

Precision = Literal["auto", "fp32", "bf16"]


@contextmanager
def computing(threads: int, seed: int) -> Iterator[None]:
    """Compute with so many threads, from fresh random numbers; restore both afterwards."""
    keep_few_kernels()
    keep_freed_memory()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=gpus_in_use()):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads_before)


def gpus_in_use() -> list[int]:
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


def best_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_best_device(model: torch.nn.Module) -> torch.device:
    """Move a model to `best_device`, where a quantised one is already."""
    device = best_device()
    if not getattr(model, "is_quantized", False):
        model.to(device)
    return device


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Mixed precision where it is asked for, or where the hardware multiplies bfloat16 natively."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_bf16(precision, device))


def computes_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether products are in bfloat16: what `precision: auto` becomes on a device."""
    return precision == "bf16" or (precision == "auto" and _is_fast_in_bf16(device))


def _is_fast_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    processor = torch.cpu.get_capabilities()
    # Without matrix units (AMX), bfloat16 instructions are fast on AMD's processors, where float32
    # products are slow in turn; on Intel's they are slower than float32 ones.
    is_fast_amd = processor.get("avx512_bf16") and processor["cpu_name"].startswith("AMD")
    return bool(processor.get("amx_bf16") or is_fast_amd)


def on_device(tensors: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def n_trainable(model: torch.nn.Module) -> int:
    """Numbers that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def peak_memory_mb() -> float:
    """Most memory this process has held so far, in MiB: on the GPU if it computes there."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return process_memory.peak_memory_mb()
