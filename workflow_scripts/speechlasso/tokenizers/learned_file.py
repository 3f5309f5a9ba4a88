"""The file of a tokenizer that learned: its arrays and its settings, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from speechlasso.errors import InputError
from speechlasso.files import written_whole


def write_learned(
    path: str | Path, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> None:
    """Write what a tokenizer learned.

    Parameters
    ----------
    arrays
        By name; each contiguous.
    settings
        As JSON has them; `format` says which tokenizer, and which version of its files.
    """
    # One entry only: safetensors writes several in an order that changes from run to run.
    metadata = {"settings": json.dumps(settings)}
    with written_whole(path) as temporary:
        save_file(dict(arrays), temporary, metadata=metadata)


def read_learned(
    path: str | Path, file_format: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `write_learned` wrote: the arrays and the settings.

    Raises
    ------
    InputError
        If the file is missing or damaged, or not of this format.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            settings = json.loads((file.metadata() or {}).get("settings", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a safetensors file ({error}). Copy it again, or fit the "
            "tokenizer again."
        ) from error
    if settings.get("format") != file_format:
        raise InputError(
            f"{path}: expected a tokenizer of format {file_format!r}, found "
            f"{settings.get('format')!r}. Fit the tokenizer again."
        )
    return arrays, settings
