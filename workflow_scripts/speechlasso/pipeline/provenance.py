"""With what a job computed: libraries, the device, the commit of the model, the precision."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from speechlasso.language_model.settings import LanguageModel
from speechlasso.section import Section

LIGHT = ("numpy", "pandas", "scipy", "scikit-learn")
TORCH = ("torch", "transformers", "peft", "tokenizers")


def environment(settings: Section) -> dict[str, Any]:
    """What this process computes with; torch is asked only where the job has loaded it."""
    heavy = "torch" in sys.modules
    found = {
        "python": platform.python_version(),
        **{name: _version(name) for name in (*LIGHT, *(TORCH if heavy else ()))},
        "device": _device() if heavy else _processor(),
    }
    lm = getattr(settings, "lm", None)
    if lm is None:
        return found
    from speechlasso.training.devices import best_device, computes_bf16

    # Frozen weights that are not float32 are computed with in bfloat16.
    in_bf16 = getattr(getattr(settings, "adapt", None), "weights", "fp32") != "fp32"
    wanted = "bf16" if in_bf16 else lm.precision
    return found | {
        "precision": "bf16" if computes_bf16(wanted, best_device()) else "fp32",
        "hub_commit": hub_commit(lm),
    }


def hub_commit(lm: LanguageModel) -> str | None:
    """Commit of the model in the cache of the hub; None for one that lies in a folder."""
    from huggingface_hub import try_to_load_from_cache

    if Path(lm.name).is_dir():
        return None
    try:
        found = try_to_load_from_cache(lm.name, "config.json", revision=lm.revision)
    except ValueError:  # no name of the hub
        return None
    # .../models--owner--name/snapshots/COMMIT/config.json
    return Path(found).parent.name if isinstance(found, str) else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()


def _processor() -> str:
    """The processor's model where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
