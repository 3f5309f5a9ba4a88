"""The lasso written plainly, and by scikit-learn, for comparison."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp, xlogy
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

FIELDS = ("alpha", "coef", "intercept", "objective", "duality_gap", "iterations", "converged")


def counts_and_labels(seed=0, n_rows=80, n_features=30, n_classes=2, density=0.4):
    """Sparse counts and labels that depend on the first three features, each class present."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.0, (n_rows, n_features)) * (rng.random((n_rows, n_features)) < density)
    signal = counts[:, :3] @ rng.normal(size=(3, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
    labels = signal.argmax(axis=1)
    labels[:n_classes] = np.arange(n_classes)
    return sp.csr_array(counts.astype(np.float64)), labels


def row_weights(labels, class_weight="balanced", sample_weight=None):
    weights = np.ones(len(labels)) if sample_weight is None else sample_weight
    if class_weight is None:
        return weights
    totals = np.array([weights[labels == label].sum() for label in np.unique(labels)])
    return weights * (weights.sum() / (len(totals) * totals))[labels]


def class_scores(features, coef, intercept):
    """Scores of all classes, (n_rows, K), from one vector (K = 2) or from K."""
    scores = features @ coef.T + intercept
    return np.hstack([np.zeros_like(scores), scores]) if coef.shape[0] == 1 else scores


def objective(features, labels, weights, alpha, coef, intercept):
    scores = class_scores(features, coef, intercept)
    losses = logsumexp(scores, axis=1) - scores[np.arange(len(labels)), labels]
    return weights @ losses + alpha * np.abs(coef).sum()


def independent_gap(features, labels, weights, alpha, coef, intercept):
    """Primal and dual objective from coefficients and intercepts alone, by another way than the
    library's; checks that the dual point is feasible."""
    scores = class_scores(features, coef, intercept)
    n_classes = scores.shape[1]
    probabilities = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    target = np.eye(n_classes)[labels]
    away = weights[:, None] * probabilities * (1 - target)
    flow = np.stack([away[labels == label].sum(axis=0) for label in range(n_classes)])
    rates = flow.sum(axis=1)
    # Visits of the jump chain, over the rates, are the stationary measure of the flow.
    balance = np.vstack([(flow / rates[:, None]).T - np.eye(n_classes), np.ones(n_classes)])
    visits = np.linalg.lstsq(balance, np.eye(n_classes + 1)[-1], rcond=None)[0]
    scale = (visits / rates) / (visits / rates).max()
    residuals = scale[labels, None] * (away - target * away.sum(axis=1, keepdims=True))
    residuals *= alpha / max(alpha, np.abs(features.T @ residuals).max())
    inside = target + residuals / weights[:, None]
    assert (inside >= -1e-15).all() and np.allclose(inside.sum(axis=1), 1)
    assert np.abs(residuals.sum(axis=0)).max() <= 1e-9 * np.abs(residuals).sum()
    assert np.abs(features.T @ residuals).max() <= alpha * (1 + 1e-9)
    inside = np.maximum(inside, 0.0)
    dual = -weights @ xlogy(inside, inside).sum(axis=1)
    return objective(features, labels, weights, alpha, coef, intercept), dual


def largest_violation(features, labels, weights, alpha, coef, intercept):
    """Distance of zero from the subdifferential of the objective, largest entry, over alpha."""
    scores = class_scores(features, coef, intercept)
    probabilities = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    residuals = weights[:, None] * (probabilities - np.eye(scores.shape[1])[labels])
    gradient = np.asarray(features.T @ residuals).T[-len(coef) :]
    at_zero = np.maximum(np.abs(gradient) - alpha, 0.0)
    elsewhere = np.abs(gradient + alpha * np.sign(coef))
    violation = np.where(coef == 0, at_zero, elsewhere).max()
    return max(violation, np.abs(residuals.sum(axis=0)).max()) / alpha


def scikit_learn(features, labels, alpha, class_weight="balanced", sample_weight=None):
    """SAGA, helped to converge: its steps are too long for row weights above 1, so the weights are
    scaled down and C up; and on sparse features its intercepts hardly move, so they are dense."""
    classes = np.unique(labels)
    weights = np.ones(len(labels)) if sample_weight is None else sample_weight
    weights = (
        weights
        * (
            compute_class_weight(
                class_weight, classes=classes, y=labels, sample_weight=sample_weight
            )
        )[np.searchsorted(classes, labels)]
    )
    model = LogisticRegression(
        l1_ratio=1,
        solver="saga",
        C=weights.max() / alpha,
        tol=1e-10,
        max_iter=100_000,
        random_state=0,
    )
    return model.fit(features.toarray(), labels, weights / weights.max())
