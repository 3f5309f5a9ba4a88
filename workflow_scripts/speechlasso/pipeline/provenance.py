"""With what a job computed: libraries, the device, the commit of the model, the precision; the
machine, and the commit of the code."""

from __future__ import annotations

import os
import platform
import subprocess
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
        **{name: installed(name) for name in (*LIGHT, *(TORCH if heavy else ()))},
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


def machine() -> dict[str, Any]:
    """The machine that this process runs on: its system, processor, cores that the process may use,
    and memory in MiB (None where the system does not tell)."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        memory = None
    of_process = getattr(os, "sched_getaffinity", None)
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(of_process(0)) if of_process else os.cpu_count(),
        "memory_mb": memory,
    }


# Settings of a repository that would have git start programs are not followed.
_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C")


def code_version(folder: str | Path) -> dict[str, Any]:
    """The commit that a workflow's folder has checked out.

    Returns
    -------
    dict
        commit, or None; changed, whether tracked files differ from it, or None; told, why nothing
        is known, in plain words, or None.
    """
    try:
        # In a folder that merely lies in somebody's repository nothing is tracked.
        _git(folder, "ls-files", "--error-unmatch", "Snakefile")
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changed = bool(_git(folder, "status", "--porcelain", "--untracked-files=no").strip())
    except FileNotFoundError:
        return _unknown("git is not installed")
    except subprocess.CalledProcessError as error:
        owned = "dubious ownership" in error.stderr
        return _unknown(
            "git does not read the workflow's folder, which is another user's"
            if owned
            else "the workflow's folder is not a git repository"
        )
    except (subprocess.TimeoutExpired, OSError):
        return _unknown("git gave no answer")
    return {"commit": commit, "changed": changed, "told": None}


def _git(folder: str | Path, *arguments: str) -> str:
    # Of a hook of git's that started this, the folder of another repository.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        [*_GIT, str(folder), *arguments],
        env=environment | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        timeout=60,
    ).stdout


def _unknown(told: str) -> dict[str, Any]:
    return {"commit": None, "changed": None, "told": told}


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


def installed(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
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
