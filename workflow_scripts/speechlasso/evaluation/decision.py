"""From probabilities to a decision: the likeliest class, or a threshold for one of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

# More candidates than this tell apart what validation rows cannot.
MOST_CANDIDATES = 200


class Threshold(TypedDict):
    """Predict a class wherever its probability reaches a value, and the other class elsewhere."""

    label: str
    probability: float


def decide(
    probabilities: np.ndarray, classes: Sequence[str], threshold: Threshold | None = None
) -> np.ndarray:
    """Index of the predicted class, int (n_examples,).

    Parameters
    ----------
    probabilities
        (n_examples, n_classes).
    threshold
        For two classes; None takes the likeliest.
    """
    if threshold is None:
        return probabilities.argmax(axis=1)
    positive = list(classes).index(threshold["label"])
    is_positive = probabilities[:, positive] >= threshold["probability"]
    return np.where(is_positive, positive, 1 - positive)


def tuned_threshold(
    probabilities: np.ndarray,
    classes: Sequence[str],
    label: str,
    score: Callable[[np.ndarray], float],
) -> Threshold:
    """The threshold that scores best; of equally good ones, the one nearest to one half.

    Parameters
    ----------
    probabilities
        (n_examples, 2).
    label
        The class that the threshold is about.
    score
        Of predicted indices; larger is better.
    """
    values = np.unique(probabilities[:, list(classes).index(label)])
    between = (values[1:] + values[:-1]) / 2
    if len(between) > MOST_CANDIDATES:
        between = between[np.linspace(0, len(between) - 1, MOST_CANDIDATES).astype(int)]
    candidates = sorted([0.5, *between.tolist()], key=lambda value: abs(value - 0.5))
    thresholds = [Threshold(label=label, probability=value) for value in candidates]
    return max(thresholds, key=lambda one: score(decide(probabilities, classes, one)))


def mean_threshold(thresholds: Sequence[Threshold | None]) -> Threshold | None:
    """The threshold for the mean of several models' probabilities: the mean of their thresholds.

    Parameters
    ----------
    thresholds
        Of each model; None, the likeliest of its two classes, is a threshold of one half. A
        threshold about the other class is turned round: at p for one is at 1 - p for the other.

    Returns
    -------
    Threshold or None
        None where no model has one.
    """
    tuned = [threshold for threshold in thresholds if threshold is not None]
    if not tuned:
        return None
    label = tuned[0]["label"]
    values = [
        one["probability"] if one["label"] == label else 1 - one["probability"] for one in tuned
    ]
    values += [0.5] * (len(thresholds) - len(tuned))
    return Threshold(label=label, probability=float(np.mean(values)))
