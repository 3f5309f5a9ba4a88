"""Scores of a classifier, by scikit-learn's definitions.

They are made here from counts: scikit-learn looks at its arguments for 14 ms each time, and a lasso
path, a tuned threshold or a bootstrap asks for scores hundreds of times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.cards import METRICS, USUAL, ScoredRows
from speechlasso.evaluation.decision import Threshold, decide
from speechlasso.evaluation.ranking import ranking_scores

N_BINS = 15
"""Of the expected calibration error, as in the tables of Guo et al."""
SIZES = ("n_text_tokens", "n_audio_tokens", "cut")
"""Columns of predictions that say how much of an example was read."""


def classification_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    positive_label: str | None = None,
    predicted: np.ndarray | None = None,
    *,
    more_metrics: Iterable[str] = (),
) -> dict[str, float | None]:
    """Score predicted probabilities, and what was decided by them, against true labels.

    Parameters
    ----------
    labels
        Index of each example's true class, int, (n_examples,).
    probabilities
        (n_examples, n_classes).
    classes
        Names of the classes.
    positive_label
        The class of `positive_f1`, `average_precision` and `roc_auc`; None leaves these out.
    predicted
        Index of each example's predicted class; None takes the likeliest.
    more_metrics
        Metrics from outside this project.

    Returns
    -------
    dict
        accuracy; macro_f1 (scikit-learn's: over classes that occur in the labels or the
        predictions, so one stray prediction of a class without examples counts as much as a class
        that is always missed); macro_f1_present (over classes that occur in the labels); uar
        (unweighted average recall over classes that occur in the labels); positive_f1 or None;
        loss (mean negative log-likelihood, nats); micro_f1 (the accuracy, as each row has one
        class); weighted_f1 (by the classes' shares of the labels, so a class that is only predicted
        counts nothing); ece (`calibration_gaps`); average_precision and roc_auc of the positive
        class against all others (`ranking.ranking_scores`); then those of `more_metrics`. None
        where one is not defined: average_precision without a positive row, roc_auc without rows of
        both kinds.

    Raises
    ------
    InputError
        When the positive label is none of the classes.
    """
    if predicted is None:
        predicted = decide(probabilities, classes)
    positive = positive_index(classes, positive_label)
    rows = ScoredRows(labels, predicted, probabilities, tuple(classes), positive)
    return _scores(rows, more_metrics)


def _scores(rows: ScoredRows, more_metrics: Iterable[str]) -> dict[str, float | None]:
    likelihood = rows.probabilities[np.arange(len(rows.labels)), rows.labels]
    loss = -np.log(np.maximum(likelihood, np.finfo(np.float64).tiny)).sum()
    counts = np.concatenate(_class_counts(rows.labels, rows.predicted, len(rows.classes)))
    bins, gaps = calibration_gaps(rows)
    gaps = np.bincount(bins, gaps, N_BINS)
    found = scores_of_sums(np.array([[*counts, *gaps, loss, 0.0]]), rows.positive)
    if rows.positive is not None:
        found |= ranking_scores(*ranked_by(rows), np.ones((1, len(rows.labels))))
    usual = {name: _none_for_nan(found[name].item()) if name in found else None for name in USUAL}
    return usual | {name: _none_for_nan(score_of_rows(rows, name)) for name in more_metrics}


def calibration_gaps(rows: ScoredRows) -> tuple[np.ndarray, np.ndarray]:
    """Each row's bin and gap, both (n_rows,): what the expected calibration error is made of.

    Confidence is the probability of the class that was decided on; the bins are `N_BINS` of equal
    width, ((m - 1) / N_BINS, m / N_BINS]. The error is the mean over rows of how far the mean
    confidence of a row's bin is from the share of the bin that is right: the sum of each bin's
    gaps, right (1) or not (0) minus confidence, without its sign, summed over bins and divided by
    the rows (Guo et al. 2017, "On calibration of modern neural networks", arXiv 1706.04599,
    section 2, equation 3).
    """
    confidence = rows.probabilities[np.arange(len(rows.labels)), rows.predicted]
    bins = np.digitize(confidence, np.linspace(0, 1, N_BINS + 1)[1:-1], right=True)
    return bins, (rows.labels == rows.predicted) - confidence


def ranked_by(rows: ScoredRows) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row is of the positive class, and its probability of it."""
    return rows.labels == rows.positive, rows.probabilities[:, rows.positive]


def positive_index(classes: Sequence[str], positive_label: str | None) -> int | None:
    """Index of the positive class; None without one."""
    if positive_label is None:
        return None
    if positive_label not in list(classes):
        raise InputError(
            f"evaluate.positive_label: {positive_label!r} is no class of these data; "
            f"choose one of {', '.join(map(str, classes))}"
        )
    return list(classes).index(positive_label)


def score_of_rows(rows: ScoredRows, metric: str) -> float:
    """A metric from outside this project; NaN where it is not defined."""
    return float(METRICS[metric].load().score(rows))


def _none_for_nan(score: float) -> float | None:
    return None if math.isnan(score) else score


def scores_of_sums(sums: np.ndarray, positive: int | None) -> dict[str, np.ndarray]:
    """Scores from sums over rows: all that they are made of.

    Parameters
    ----------
    sums
        (n, 3 * n_classes + N_BINS + 2), each over at least one row: how many rows each class has,
        is predicted to have, and has and is predicted to have; the gaps of each bin
        (`calibration_gaps`); the loss (nats); how many rows were cut.
    positive
        Index of the class that positive_f1 is about.

    Returns
    -------
    dict
        Score -> (n,); as `classification_scores` says, but for those of ranks, and cut_share.
        positive_f1 only where there is a positive class.
    """
    counts, gaps = np.split(sums[:, :-2], [-N_BINS], axis=1)
    labelled, predicted, right = np.split(counts, 3, axis=1)
    n_rows = labelled.sum(axis=1)
    f1 = 2 * right / np.maximum(labelled + predicted, 1)
    recall = right / np.maximum(labelled, 1)
    present = labelled > 0
    scores = {
        "accuracy": right.sum(axis=1) / n_rows,
        "macro_f1": _mean_where(f1, present | (predicted > 0)),
        "macro_f1_present": _mean_where(f1, present),
        "uar": _mean_where(recall, present),
        "loss": sums[:, -2] / n_rows,
        "micro_f1": right.sum(axis=1) / n_rows,
        "weighted_f1": (f1 * labelled).sum(axis=1) / n_rows,
        "ece": np.abs(gaps).sum(axis=1) / n_rows,
        "cut_share": sums[:, -1] / n_rows,
    }
    return scores if positive is None else scores | {"positive_f1": f1[:, positive]}


def _mean_where(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return (values * counted).sum(axis=1) / counted.sum(axis=1)


def _class_counts(
    labels: np.ndarray, predicted: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many rows each class has, is predicted to have, and both; each (n_classes,)."""
    groups = (labels, predicted, labels[labels == predicted])
    labelled, of_predicted, right = (np.bincount(each, minlength=n_classes) for each in groups)
    return labelled, of_predicted, right


def predictions_frame(
    rows: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    threshold: Threshold | None = None,
    n_text_tokens: Any = 0,
    n_audio_tokens: Any = 0,
    cut: Any = False,
) -> pd.DataFrame:
    """What a classifier says of each utterance; predicted by `threshold`, or the likeliest class.

    Returns
    -------
    pandas.DataFrame
        id, split and label where the rows have them, predicted, p_<class> for each class,
        n_text_tokens, n_audio_tokens, cut (the example was too long and lost its end); rows as in
        `rows`.
    """
    known = [name for name in ("id", "split", "label") if name in rows]
    frame = rows[known].reset_index(drop=True)
    frame["predicted"] = np.asarray(classes)[decide(probabilities, classes, threshold)]
    for column, name in enumerate(classes):
        frame[f"p_{name}"] = probabilities[:, column]
    return frame.assign(n_text_tokens=n_text_tokens, n_audio_tokens=n_audio_tokens, cut=cut)


def sizes_of(examples: pd.DataFrame) -> dict[str, np.ndarray]:
    """What `predictions_frame` is told of the sizes of encoded examples, from their columns."""
    return {name: examples[name].to_numpy() for name in SIZES}


def scored_rows(predictions: pd.DataFrame, positive_label: str | None) -> ScoredRows:
    """What metrics are computed from.

    Parameters
    ----------
    predictions
        As `predictions_frame` makes them.
    """
    classes = classes_of(predictions)
    labels, predicted = (
        predictions[name].map(classes.index).to_numpy() for name in ("label", "predicted")
    )
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    positive = positive_index(classes, positive_label)
    return ScoredRows(labels, predicted, probabilities, tuple(classes), positive)


def classes_of(predictions: pd.DataFrame) -> list[str]:
    return [name[2:] for name in predictions if name.startswith("p_")]


def evaluate(
    predictions: pd.DataFrame, positive_label: str | None, more_metrics: Iterable[str] = ()
) -> dict[str, Any]:
    """Scores, per-class scores and confusion matrix of every split.

    Parameters
    ----------
    predictions
        As `predictions_frame` makes them.
    more_metrics
        Metrics from outside this project.
    """
    splits = {
        split: _evaluate_split(rows, positive_label, more_metrics)
        for split, rows in predictions.groupby("split", sort=True)
    }
    return {"classes": classes_of(predictions), "splits": splits}


def _evaluate_split(
    rows: pd.DataFrame, positive_label: str | None, more_metrics: Iterable[str]
) -> dict[str, Any]:
    scored = scored_rows(rows, positive_label)
    labels, predicted, classes = scored.labels, scored.predicted, scored.classes
    support, n_predicted, right = _class_counts(labels, predicted, len(classes))
    precision, recall = right / np.maximum(n_predicted, 1), right / np.maximum(support, 1)
    f1 = 2 * right / np.maximum(support + n_predicted, 1)
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (labels, predicted), 1)
    return {
        "n_examples": len(rows),
        **_scores(scored, more_metrics),
        "cut_share": float(rows["cut"].mean()),
        "mean_text_tokens": float(rows["n_text_tokens"].mean()),
        "mean_audio_tokens": float(rows["n_audio_tokens"].mean()),
        "per_class": [
            {
                "class": name,
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        ],
        "confusion": confusion.tolist(),
    }
