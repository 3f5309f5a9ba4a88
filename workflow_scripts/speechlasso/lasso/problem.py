"""The weighted logistic loss that the lasso penalises, binary or multinomial, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class LogisticProblem:
    """Rows to classify into K classes.

    The score of row i for class k is x_i . w_k + b_k. Two classes share one coefficient vector: the
    first class has score zero, the second x_i . w + b. With more classes each has its own vector.
    V is the number of vectors, 1 or K. Arrays over rows have the rows last.
    """

    features: sp.csr_array | sp.csc_array
    """float64, (n_rows, n_features)"""
    labels: np.ndarray
    """Class of each row, intp, (n_rows,); every class has a row of positive weight."""
    weights: np.ndarray
    """Weight of each row in the loss, not negative, float64, (n_rows,)"""
    n_classes: int

    @property
    def n_vectors(self) -> int:
        return 1 if self.n_classes == 2 else self.n_classes

    @cached_property
    def indicators(self) -> np.ndarray:
        """One where a row is of a class, float64, (K, n_rows)."""
        return (np.arange(self.n_classes)[:, None] == self.labels).astype(np.float64)

    def loss(self, log_probabilities: np.ndarray) -> float:
        """Weighted sum over rows of the negative log-likelihood."""
        own_class = log_probabilities[self.labels, np.arange(self.labels.size)]
        return -float((self.weights * own_class).sum())

    def gradient(self, residual: np.ndarray) -> np.ndarray:
        """Gradient in the coefficients, (n_features, V), from that in the K classes' scores,
        (K, n_rows)."""
        return self.features.T @ residual[-self.n_vectors :].T

    def null_intercept(self) -> np.ndarray:
        """Best intercepts, (V,), where all coefficients are zero: they fit the class shares."""
        log_shares = np.log(np.bincount(self.labels, self.weights, minlength=self.n_classes))
        reference = log_shares[0] if self.n_vectors == 1 else log_shares.mean()
        return log_shares[-self.n_vectors :] - reference


def log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Log of the class probabilities, (K, n_rows), from the (V, n_rows) scores."""
    if len(scores) == 1:
        scores = np.vstack([np.zeros_like(scores), scores])
    scores = scores - scores.max(axis=0)
    return scores - np.log(np.exp(scores).sum(axis=0))
