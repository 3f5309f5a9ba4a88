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

    @classmethod
    def of(
        cls,
        selection: str | Path,
        *,
        rows: str | Path | None = None,
        centroids: str | Path | None = None,
    ) -> NewTokens:
        """Those of a selection.json.

        Parameters
        ----------
        rows
            rows.safetensors of an adaptation.
        centroids
            centroids.npy of all codes, (n_layers, codebook_size, size).
        """
        tokens = read_json(selection)["tokens"]
        of_tokens = None
        if centroids:
            layers, codes = ([token[name] for token in tokens] for name in ("layer", "code"))
            of_tokens = np.load(centroids, allow_pickle=False)[layers, codes]
        return cls(len(tokens), read_token_rows(rows) if rows else None, of_tokens)


def write_token_rows(path: str | Path, rows: TokenRows) -> None:
    with written_whole(path) as temporary:
        save_file({"vectors": rows.vectors}, temporary, metadata={"names": json.dumps(rows.names)})


def read_token_rows(path: str | Path) -> TokenRows:
    with safe_open(path, framework="np") as file:
        return TokenRows(json.loads(file.metadata()["names"]), file.get_tensor("vectors"))
