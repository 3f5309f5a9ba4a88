"""Tensors that a training goes on from, with a digest: a damaged file is none."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from speechlasso.errors import is_out_of_memory
from speechlasso.files import written_whole

logger = logging.getLogger(__name__)

DIGEST = "sha256"


def write_checkpoint(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]
) -> None:
    """Write tensors, and facts about them as metadata."""
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    digest = _digest(tensors, tensors.__getitem__, facts)
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata={**facts, DIGEST: digest})


def open_checkpoint(path: Path) -> safe_open | None:
    """The file of a checkpoint, to be read within `with`; None if there is none or it is damaged,
    which the log tells."""
    if not path.is_file():
        return None
    try:
        file = safe_open(path, framework="pt")
        facts = file.metadata() or {}
        digest = facts.pop(DIGEST, None)
        if digest == _digest(file.keys(), file.get_tensor, facts):
            return file
        reason = "it is not what was written"
    except (SafetensorError, OSError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error)
    logger.warning("%s is damaged (%s): starting afresh", path, reason)
    return None


def _digest(
    names: Iterable[str], tensor: Callable[[str], torch.Tensor], facts: Mapping[str, str]
) -> str:
    digest = hashlib.sha256(repr(sorted(facts.items())).encode())
    for name in sorted(names):
        values = tensor(name)
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).cpu().numpy())
    return digest.hexdigest()
