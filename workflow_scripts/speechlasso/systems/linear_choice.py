"""What linear systems share: how their penalty is chosen, and weights on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from speechlasso.errors import InputError
from speechlasso.evaluation.inner_folds import best_value, record
from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import weighting


def require_features(features: sp.csr_array) -> None:
    """Raise an InputError where there is nothing to learn from."""
    if not features.shape[1]:
        raise InputError(
            "fit_linear: no training text has a word to count (letters or digits, see bow in "
            "config.yaml; signs and emoji are none), and no audio is read; let the arm read audio "
            "as well, or use system: token_lm"
        )


def best_classifier(
    features: sp.csr_array,
    rows: pd.DataFrame,
    strengths: Sequence[float],
    new_classifier: Callable[[float], ClassifierMixin],
    criterion: Criterion,
    probabilities: Callable[[ClassifierMixin, sp.csr_array], np.ndarray] | None = None,
    inner_scores: Mapping[float, float] | None = None,
) -> tuple[ClassifierMixin, dict[str, Any]]:
    """The classifier of the inverse penalty (scikit-learn's C) that validation rows choose, or
    inner folds where there are no such rows.

    Parameters
    ----------
    features
        (n_utterances, n_features).
    rows
        label and split of each.
    strengths
        Values of C to try.
    new_classifier
        Makes an unfitted one.
    criterion
        Of equal scores the strongest penalty wins.
    probabilities
        Of a fitted classifier, (n, n_classes); by default its own.
    inner_scores
        The score of each value of C over the inner folds (`inner_folds.mean_scores`); not needed
        for one that makes no difference.

    Returns
    -------
    best
        Fitted on the training rows.
    training
        Its C, the validation score of each, and how many parameters it has.
    """
    labels, split = (rows[name].to_numpy() for name in ("label", "split"))
    train, validation = (np.flatnonzero(split == name) for name in ("train", "validation"))

    def fitted(C: float) -> ClassifierMixin:
        return new_classifier(C).fit(features[train], labels[train])

    def told(best: float, classifier: ClassifierMixin, scores: Mapping[float, float]) -> tuple:
        size = {"trainable_parameters": _n_coefficients(classifier)}
        return classifier, {"C": best, **record(criterion, scores), **size}

    if not len(validation):
        scores = inner_scores or {}
        best = best_value(scores, criterion) if scores else min(strengths)
        return told(best, fitted(best), scores)
    classes = np.unique(labels[train])
    truth = np.searchsorted(classes, labels[validation])
    probabilities = probabilities or (lambda classifier, some: classifier.predict_proba(some))
    tried = {C: fitted(C) for C in sorted(strengths)}
    scores = {
        C: criterion.score(truth, probabilities(classifier, features[validation]), classes)
        for C, classifier in tried.items()
    }
    best = best_value(scores, criterion)
    return told(best, tried[best], scores)


def _n_coefficients(classifier: ClassifierMixin) -> int:
    """Weights and intercepts; a classifier that draws has none."""
    return sum(np.size(getattr(classifier, name, ())) for name in ("coef_", "intercept_"))


def learned_weights(weights: Pipeline) -> dict[str, np.ndarray]:
    """What a fitted `bag_of_words.weighting` learned, as arrays."""
    occurring, tfidf, scaler = (step for _, step in weights.steps)
    learned = {
        "occurs": occurring.occurs_,
        "idf": getattr(tfidf, "idf_", None),
        "scale": getattr(scaler, "scale_", None),
    }
    return {name: value for name, value in learned.items() if value is not None}


def opened_weights(learned: Mapping[str, np.ndarray]) -> Pipeline:
    """The weighting that `learned_weights` describes."""
    weights = weighting(
        "tfidf" if "idf" in learned else "counts",
        "unit_variance" if "scale" in learned else "none",
    )
    occurring, tfidf, scaler = (step for _, step in weights.steps)
    occurring.occurs_ = learned["occurs"]
    if "idf" in learned:
        tfidf.idf_ = learned["idf"]
    if "scale" in learned:
        scaler.scale_ = learned["scale"]
    return weights
