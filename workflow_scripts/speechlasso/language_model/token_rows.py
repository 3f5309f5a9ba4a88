"""The embedding rows of new tokens: all that adaptation learns, and all that needs storing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from speechlasso.files import read_json, written_whole


@dataclass(frozen=True)
class TokenRows:
    names: list[str]
    """Tokens in the order of their ids."""
    vectors: np.ndarray
    """float32, (number of tokens, hidden size)."""


@dataclass(frozen=True)
class NewTokens:
    """The audio tokens that a language model gets."""

    n: int
    """Size of the selection."""
    rows: TokenRows | None = None
    """Adapted rows to start from; None starts as `LanguageModel.new_rows` says."""
    centroids: np.ndarray | None = None
    """Of each token, float32 (n, size), for rows that start from the codebook."""


def write_token_rows(path: str | Path, rows: TokenRows) -> None:
    with written_whole(path) as temporary:
        save_file({"vectors": rows.vectors}, temporary, metadata={"names": json.dumps(rows.names)})


def read_token_rows(path: str | Path) -> TokenRows:
    with safe_open(path, framework="np") as file:
        return TokenRows(json.loads(file.metadata()["names"]), file.get_tensor("vectors"))


def centroids_of_selection(selection: str | Path, centroids: str | Path) -> np.ndarray:
    """Those of the selected tokens, float32 (n_tokens, size).

    Parameters
    ----------
    selection
        selection.json.
    centroids
        What the rule fit_tokenizer wrote: (n_layers, codebook_size, size).
    """
    tokens = read_json(selection)["tokens"]
    layers, codes = ([token[name] for token in tokens] for name in ("layer", "code"))
    return np.load(centroids, allow_pickle=False)[layers, codes]
