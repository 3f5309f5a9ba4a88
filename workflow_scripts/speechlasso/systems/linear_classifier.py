"""The cheap baseline: logistic regression on words and kept audio tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from speechlasso.errors import InputError
from speechlasso.evaluation.scores import classification_scores, predictions_frame
from speechlasso.selection.bag_of_words import BagOfWords, weighting
from speechlasso.selection.settings import LinearClassifier
from speechlasso.selection.token_selection import TokenSelection


def fit_and_predict(
    bow: BagOfWords,
    selection: TokenSelection | None,
    inputs: list[str],
    settings: LinearClassifier,
    metric: str,
    positive_label: str | None,
    seed: int | None = None,
) -> tuple[pd.DataFrame, dict]:
    """Fit on the training rows, choose C on the validation rows, predict every row.

    Parameters
    ----------
    seed
        Of the dummy's draws; logistic regression draws nothing.

    Returns
    -------
    predictions
        As `evaluation.predictions_frame` makes them.
    training
        Chosen C and the validation score of each.

    Raises
    ------
    InputError
        When there is nothing to count.
    """
    counts = _counts(bow, selection, inputs)
    if not counts.shape[1]:
        raise InputError(
            "fit_linear: no training text has a word to count (letters or digits, see bow in "
            "config.yaml; signs and emoji are none), and no audio token is read; let the arm read "
            "audio as well, or use classifier: lm"
        )
    labels = bow.rows["label"].to_numpy()
    train, validation = bow.rows_in("train"), bow.rows_in("validation")
    weights = weighting(settings.weighting, settings.scaling).fit(counts[train])
    features = weights.transform(counts)
    classes = np.unique(labels[train])
    best_C, best_model, scores = None, None, {}
    for C in sorted(settings.C):
        model = _classifier(settings.method, C, seed).fit(features[train], labels[train])
        scores[C] = classification_scores(
            np.searchsorted(classes, labels[validation]),
            model.predict_proba(features[validation]),
            classes,
            positive_label,
        )[metric]
        # Of equal scores the strongest penalty wins.
        if best_C is None or scores[C] > scores[best_C]:
            best_C, best_model = C, model
    predictions = predictions_frame(
        bow.rows,
        best_model.predict_proba(features),
        classes,
        n_audio_tokens=np.asarray(_counts(bow, selection, ["audio"]).sum(axis=1)).ravel()
        if "audio" in inputs
        else 0,
        n_text_tokens=np.asarray(bow.text.sum(axis=1)).ravel() if "text" in inputs else 0,
    )
    training = {"C": best_C, f"validation_{metric}": [[C, s] for C, s in scores.items()]}
    return predictions, training


def _classifier(method: str, C: float, seed: int | None) -> ClassifierMixin:
    if method == "dummy":
        return DummyClassifier(strategy="stratified", random_state=seed)
    return LogisticRegression(C=C, class_weight="balanced", max_iter=5000)


def _counts(bow: BagOfWords, selection: TokenSelection | None, inputs: list[str]) -> sp.csr_array:
    parts = []
    if "audio" in inputs:
        parts.append(bow.audio[:, [token.index for token in selection.tokens]])
    if "text" in inputs:
        parts.append(bow.text)
    return sp.hstack(parts, format="csr")
