"""A linear classifier of a vector of audio features of each utterance, and of its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from speechlasso.evaluation.inner_folds import mean_scores
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.features.frame_files import FrameFiles
from speechlasso.files import write_arrays
from speechlasso.selection.bag_of_words import BagOfWords, weighting
from speechlasso.systems.linear_choice import (
    best_classifier,
    learned_weights,
    opened_weights,
    require_features,
)
from speechlasso.systems.linear_of_features import LinearOfFeatures

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

MODEL = "model.npz"

Vectors = Callable[[FrameFiles, Any], dict[str, np.ndarray]]
"""From frames and the arm to a vector of features of each utterance, float32, by its id."""


def fit_linear(inputs: Files, settings: Any, folder: Path, vectors: Vectors) -> dict[str, Any]:
    """Fit on the training rows and choose C on the validation rows, or by inner folds.

    Parameters
    ----------
    inputs, settings
        As `SystemCard` says; the arm is a `LinearOfFeatures`.
    folder
        Gets `MODEL`.

    Returns
    -------
    dict
        What training.json says.
    """
    arm, read = settings.arm, FeaturesAndWords.read(inputs, settings.arm, vectors)
    train = np.flatnonzero(read.rows["split"] == "train")
    scaler = None if read.audio is None else StandardScaler().fit(read.audio[train])
    weights = None if read.text is None else weighting().fit(read.text[train])
    features = _joint(read, scaler, weights)
    require_features(features)

    def new_classifier(C: float) -> ClassifierMixin:
        if arm.classifier == "linear_svm":
            return LinearSVC(C=C, class_weight="balanced", max_iter=20_000, random_state=0)
        return LogisticRegression(C=C, class_weight="balanced", max_iter=5000)

    def probabilities(classifier: ClassifierMixin, rows: sp.csr_array) -> np.ndarray:
        return _probabilities(rows, classifier.coef_, classifier.intercept_)

    best, training = best_classifier(
        features,
        read.rows,
        arm.C,
        new_classifier,
        settings.criterion,
        probabilities,
        mean_scores(inputs, settings.criterion),
    )
    learned = (best.coef_, best.intercept_, best.classes_)
    FittedLinear(arm, vectors, scaler, weights, *learned).save(folder)
    return training


@dataclass(frozen=True)
class FeaturesAndWords:
    """What an arm reads of each utterance.

    Attributes
    ----------
    rows
        id, label, split.
    audio
        float32 (n_utterances, n_features); None where not read.
    text
        Counts of words, CSR (n_utterances, n_words); None where not read, or where there is none.
    """

    rows: pd.DataFrame
    audio: np.ndarray | None
    text: sp.csr_array | None

    @classmethod
    def read(cls, inputs: Files, arm: LinearOfFeatures, vectors: Vectors) -> FeaturesAndWords:
        bow = BagOfWords.load(Path(inputs["bow"][0]).parent)
        audio = None
        if arm.reads_audio:
            of_utterance = vectors(FrameFiles(inputs["frames"]), arm)
            audio = np.stack([of_utterance[name] for name in bow.rows["id"]])
        has_words = "text" in arm.inputs and bow.words
        return cls(bow.rows, audio, bow.text if has_words else None)


@dataclass(frozen=True)
class FittedLinear:
    """What was learned of audio features and of words, and the classifier of both."""

    arm: LinearOfFeatures
    vectors: Vectors
    scaler: StandardScaler | None
    weights: Pipeline | None
    coef: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray

    def predict(self, inputs: Files, threads: int = 1) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it."""
        read = FeaturesAndWords.read(inputs, self.arm, self.vectors)
        probabilities = _probabilities(
            _joint(read, self.scaler, self.weights), self.coef, self.intercept
        )
        n_words = 0 if read.text is None else np.asarray(read.text.sum(axis=1)).ravel()
        return predictions_frame(read.rows, probabilities, self.classes, n_text_tokens=n_words)

    def save(self, folder: Path) -> None:
        """Write what was learned as arrays; nothing is pickled."""
        learned = {
            "arm": self.arm.model_dump_json(),
            "classes": np.asarray(self.classes, dtype=str),
            "coef": self.coef,
            "intercept": self.intercept,
        }
        if self.weights is not None:
            learned |= learned_weights(self.weights)
        if self.scaler is not None:
            learned |= {"mean": self.scaler.mean_, "deviation": self.scaler.scale_}
        write_arrays(folder / MODEL, learned)

    @classmethod
    def open(cls, folder: Path, arm: type[LinearOfFeatures], vectors: Vectors) -> FittedLinear:
        with np.load(folder / MODEL, allow_pickle=False) as learned:
            settings = arm.model_validate_json(learned["arm"].item())
            scaler = None
            if "mean" in learned:
                scaler = StandardScaler()
                scaler.mean_, scaler.scale_ = learned["mean"], learned["deviation"]
            weights = opened_weights(learned) if "occurs" in learned else None
            parts = (learned[name] for name in ("coef", "intercept"))
            classes = learned["classes"].astype(object)
            return cls(settings, vectors, scaler, weights, *parts, classes)


def _joint(
    read: FeaturesAndWords, scaler: StandardScaler | None, weights: Pipeline | None
) -> sp.csr_array:
    parts = [sp.csr_array((len(read.rows), 0))]
    if scaler is not None:
        parts.append(sp.csr_array(scaler.transform(read.audio)))
    if weights is not None:
        parts.append(weights.transform(read.text))
    return sp.hstack(parts, format="csr")


def _probabilities(features: sp.csr_array, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Softmax of the margins, (n, n_classes); of two classes the second one's alone is kept."""
    margins = features @ coef.T + intercept
    if margins.shape[1] == 1:
        margins = np.hstack([np.zeros_like(margins), margins])
    return softmax(margins, axis=1)
