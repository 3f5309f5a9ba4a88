"""Features in units of their spread."""

from __future__ import annotations

import numpy as np
import torch


class Standardisation(torch.nn.Module):
    """Takes the mean from features and divides them by their deviation; saved with a network."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def learn(self, vectors: np.ndarray) -> None:
        """Mean and deviation of some vectors, (n, n_features); constant ones stay undivided."""
        spread = vectors.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(vectors.mean(axis=0, dtype=np.float64)))
        self.spread.copy_(torch.from_numpy(np.where(spread > 0, spread, 1)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features along the last axis."""
        return (features - self.mean) / self.spread
