"""Language models in llama.cpp's format (GGUF), converted once to what transformers saves.

Such a file is slow to read, and transformers cannot save a model that was read from one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from speechlasso.errors import InputError, refused_by_disk
from speechlasso.hub import loaded

logger = logging.getLogger(__name__)

_MADE = "tmp"
"""How folders begin that are being written."""


def converted(path: Path, digest: str) -> Path:
    """The folder with the model's float32 weights and its tokenizer; written if there is none yet.

    Parameters
    ----------
    path
        The file.
    digest
        Its SHA-256, which names the folder in the user's cache.

    Raises
    ------
    InputError
        If it cannot be written there.
    """
    folder = _cache() / digest[:16]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _turn(folder.parent) as is_alone:
            if is_alone:
                _remove_unfinished(folder.parent)
            if not folder.is_dir():
                logger.info("converting %s into %s", path.name, folder)
                _convert_into(path, folder)
    except (OSError, SafetensorError) as error:
        if folder.is_dir():  # another process was faster
            return folder
        refused = refused_by_disk(error)
        if refused is None:
            raise
        raise InputError(
            f"{path.name} cannot be converted into {folder} (once, 550 MB):\n{refused}\n"
            "Or name another folder for caches in XDG_CACHE_HOME."
        ) from error
    return folder


@contextmanager
def _turn(cache: Path) -> Iterator[bool]:
    """Wait until no other process converts; False where the disk knows no such locks."""
    with (cache / "turn").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True


def _remove_unfinished(cache: Path) -> None:
    """Remove what conversions that were killed left behind: half a gigabyte each."""
    for left in cache.glob(_MADE + "[a-z0-9_]" * 8):  # as tempfile draws them
        shutil.rmtree(left, ignore_errors=True)


def _convert_into(path: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(
        prefix=_MADE, dir=folder.parent, ignore_cleanup_errors=True
    ) as made:
        _convert(path, made)
        os.chmod(made, 0o755)
        os.rename(made, folder)


def _convert(path: Path, folder: str) -> None:
    source = {"name": path.parent, "gguf_file": path.name}
    model = loaded(AutoModelForCausalLM, **source, dtype=torch.float32)
    # The weights are plain numbers by now.
    model.hf_quantizer, model.is_quantized = None, False
    del model.config.quantization_config
    model.generation_config = GenerationConfig.from_model_config(model.config)
    model.save_pretrained(folder)
    loaded(AutoTokenizer, **source).save_pretrained(folder)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "speechlasso"
