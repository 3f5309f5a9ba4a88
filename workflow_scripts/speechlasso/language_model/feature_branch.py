"""A vector of features beside what a text classifier reads, joined before its head."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from speechlasso.training.devices import best_device
from speechlasso.training.processes import save_tensors
from speechlasso.training.standardisation import Standardisation

FEATURES = "features"
"""Column of the examples, and tensor of a batch, that hold the vectors."""
BRANCH = "features.safetensors"
"""The file of a branch in its classifier's folder."""


class FeatureBranch(torch.nn.Module):
    """What a classification head makes of features: standardised, projected and squashed.

    The head of a classifier is linear. One that reads the text's vector h and the projection p side
    by side gives W [h; p] = U h + V p: what the text's own head gives, and what this branch adds.
    """

    def __init__(self, n_features: int, size: int, n_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.standardised = Standardisation(n_features)
        self.projection = torch.nn.Linear(n_features, size)
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(size, n_classes, bias=False)  # the text's head has one

    @classmethod
    def open(cls, folder: Path) -> FeatureBranch:
        """What `save` wrote, ready to predict."""
        state = load_file(folder / BRANCH)
        (size, n_features), (n_classes, _) = (
            state[f"{name}.weight"].shape for name in ("projection", "head")
        )
        branch = cls(n_features, size, n_classes)
        branch.load_state_dict(state)
        return branch.to(best_device()).eval()

    def save(self, folder: Path) -> None:
        save_tensors(self.state_dict(), folder / BRANCH)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """What the features add to the logits, (n, n_classes)."""
        projected = torch.tanh(self.projection(self.standardised(features)))
        return self.head(self.dropout(projected))


class WithFeatures(torch.nn.Module):
    """A text classifier and a branch, called as classifiers of transformers are."""

    def __init__(self, classifier: torch.nn.Module, branch: FeatureBranch) -> None:
        super().__init__()
        self.classifier, self.branch = classifier, branch

    @property
    def config(self) -> Any:
        return self.classifier.config

    def activation_checkpointing_enable(self) -> None:
        self.classifier.activation_checkpointing_enable()

    def forward(self, features: torch.Tensor, **text: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.classifier(**text).logits + self.branch(features))


def beside(classifier: torch.nn.Module, branch: FeatureBranch | None) -> torch.nn.Module:
    """The classifier with the branch, if there is one."""
    return classifier if branch is None else WithFeatures(classifier, branch)


def features_of(rows: pd.DataFrame) -> list[np.ndarray] | None:
    """The vectors of examples; None where they have none."""
    return rows[FEATURES].tolist() if FEATURES in rows else None


def stacked(vectors: Any) -> torch.Tensor:
    """Vectors of some examples as float32 (n, n_features)."""
    return torch.from_numpy(np.stack(list(vectors)).astype(np.float32))
