"""Scores of a classifier, by scikit-learn's definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.decision import Threshold, decide

METRICS = ("accuracy", "macro_f1", "macro_f1_present", "uar", "positive_f1", "loss")


def classification_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    positive_label: str | None = None,
    predicted: np.ndarray | None = None,
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
        The class whose F1 is `positive_f1`; None leaves that score out.
    predicted
        Index of each example's predicted class; None takes the likeliest.

    Returns
    -------
    dict
        accuracy; macro_f1 (scikit-learn's: over classes that occur in the labels or the
        predictions, so one stray prediction of a class without examples counts as much as a class
        that is always missed); macro_f1_present (over classes that occur in the labels); uar
        (unweighted average recall over classes that occur in the labels); positive_f1 or None;
        loss (mean negative log-likelihood, nats).

    Raises
    ------
    InputError
        When the positive label is none of the classes.
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    if predicted is None:
        predicted = decide(probabilities, classes)
    present = np.unique(labels)
    positive_f1 = None
    if positive_label is not None:
        if positive_label not in list(classes):
            raise InputError(
                f"evaluate.positive_label: {positive_label!r} is no class of these data; "
                f"choose one of {', '.join(map(str, classes))}"
            )
        positive = list(classes).index(positive_label)
        positive_f1 = float(f1_score(labels == positive, predicted == positive, zero_division=0))
    likelihood = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "macro_f1_present": float(
            f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
        ),
        "uar": float(
            recall_score(labels, predicted, labels=present, average="macro", zero_division=0)
        ),
        "positive_f1": positive_f1,
        "loss": float(-np.log(np.maximum(likelihood, np.finfo(np.float64).tiny)).mean()),
    }


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


def evaluate(predictions: pd.DataFrame, positive_label: str | None) -> dict[str, Any]:
    """Scores, per-class scores and confusion matrix of every split.

    Parameters
    ----------
    predictions
        As `predictions_frame` makes them.
    """
    classes = [name[2:] for name in predictions.columns if name.startswith("p_")]
    splits = {
        split: _evaluate_split(rows, classes, positive_label)
        for split, rows in predictions.groupby("split", sort=True)
    }
    return {"classes": classes, "splits": splits}


def _evaluate_split(
    rows: pd.DataFrame, classes: list[str], positive_label: str | None
) -> dict[str, Any]:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        rows["label"], rows["predicted"], labels=classes, zero_division=0
    )
    probabilities = rows[[f"p_{name}" for name in classes]].to_numpy()
    labels, predicted = (
        rows[name].map(classes.index).to_numpy() for name in ("label", "predicted")
    )
    return {
        "n_examples": len(rows),
        **classification_scores(labels, probabilities, classes, positive_label, predicted),
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
        "confusion": confusion_matrix(rows["label"], rows["predicted"], labels=classes).tolist(),
    }
