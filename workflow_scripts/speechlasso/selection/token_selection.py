"""A selection: the kept audio tokens, in the order of their ranks, with the evidence for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Token:
    """A kept audio token: its place in the codec, its feature index and its weight (for a lasso
    the sum over classes of the absolute coefficients; None where nothing was weighed)."""

    layer: int
    code: int
    index: int
    weight: float | None = None


@dataclass(frozen=True)
class TokenSelection:
    """The kept set, ordered by feature index, with the evidence for it.

    Attributes
    ----------
    class_weights
        For a lasso, the coefficient of each class (two classes share one) at each kept token:
        {class: (n_tokens,)}; empty for other methods.
    """

    method: str
    tokens: list[Token]
    n_features: int
    evidence: dict[str, Any]
    class_weights: dict[str, list[float]]

    def to_json(self) -> dict[str, Any]:
        evidence = {"alpha": None, "C": None, "objective": None, "duality_gap": None}
        return {
            "method": self.method,
            **(evidence | self.evidence),
            "n_features": self.n_features,
            "tokens": [vars(token) for token in self.tokens],
            "class_weights": self.class_weights,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TokenSelection:
        own = {key: value[key] for key in ("method", "n_features", "class_weights")}
        tokens = [Token(**token) for token in value["tokens"]]
        evidence = {key: value[key] for key in value if key not in own and key != "tokens"}
        return cls(tokens=tokens, evidence=evidence, **own)

    def rank_of_code(self, n_layers: int, codebook_size: int) -> np.ndarray:
        """As the function `rank_of_code`, of the selected tokens."""
        return rank_of_code(self.tokens, n_layers, codebook_size)


def rank_of_code(tokens: Sequence[Token], n_layers: int, codebook_size: int) -> np.ndarray:
    """Rank of each (layer, code) among the tokens, -1 where it is none of them: int32,
    (n_layers, codebook_size)."""
    ranks = np.full((n_layers, codebook_size), -1, dtype=np.int32)
    for rank, token in enumerate(tokens):
        ranks[token.layer, token.code] = rank
    return ranks
