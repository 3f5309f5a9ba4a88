"""What linear systems share: the penalty that validation rows choose, and weights on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from speechlasso.errors import InputError
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
) -> tuple[ClassifierMixin, dict[str, Any]]:
    """The classifier of the inverse penalty (scikit-learn's C) that validation rows choose.

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

    Returns
    -------
    best
        Fitted on the training rows.
    training
        Its C, and the validation score of each.
    """
    labels, split = (rows[name].to_numpy() for name in ("label", "split"))
    train, validation = (np.flatnonzero(split == name) for name in ("train", "validation"))
    classes = np.unique(labels[train])
    truth = np.searchsorted(classes, labels[validation])
    probabilities = probabilities or (lambda fitted, some: fitted.predict_proba(some))
    best_C, best, scores = None, None, {}
    for C in sorted(strengths):
        classifier = new_classifier(C).fit(features[train], labels[train])
        predicted = probabilities(classifier, features[validation])
        scores[C] = criterion.score(truth, predicted, classes)
        utility = criterion.utility(scores[C])
        if best_C is None or utility > criterion.utility(scores[best_C]):
            best_C, best = C, classifier
    return best, {"C": best_C, f"validation_{criterion.metric}": [*map(list, scores.items())]}


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
