"""Fit the system `pooled_linear`, and open what was fitted."""

from __future__ import annotations

import time
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
from speechlasso.systems.pooled_linear import PooledLinear

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

MODEL = "model.npz"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fit on the training rows and choose C on the validation rows, or by inner folds."""
    started = time.perf_counter()
    arm, pooled = settings.arm, Pooled.read(inputs, settings.arm)
    train = np.flatnonzero(pooled.rows["split"] == "train")
    scaler = None if pooled.audio is None else StandardScaler().fit(pooled.audio[train])
    weights = None if pooled.text is None else weighting().fit(pooled.text[train])
    features = _features(pooled, scaler, weights)
    require_features(features)

    def new_classifier(C: float) -> ClassifierMixin:
        if arm.classifier == "linear_svm":
            return LinearSVC(C=C, class_weight="balanced", max_iter=20_000, random_state=0)
        return LogisticRegression(C=C, class_weight="balanced", max_iter=5000)

    def probabilities(classifier: ClassifierMixin, rows: sp.csr_array) -> np.ndarray:
        return _probabilities(rows, classifier.coef_, classifier.intercept_)

    best, training = best_classifier(
        features,
        pooled.rows,
        arm.C,
        new_classifier,
        settings.criterion,
        probabilities,
        mean_scores(inputs, settings.criterion),
    )
    fitted = FittedPooled(arm, scaler, weights, best.coef_, best.intercept_, best.classes_)
    fitted.save(folder / MODEL)
    return training | {"train_seconds": time.perf_counter() - started}


def open(folder: Path) -> FittedPooled:
    return FittedPooled.open(folder / MODEL)


@dataclass(frozen=True)
class Pooled:
    """What an arm reads of each utterance.

    Attributes
    ----------
    rows
        id, label, split.
    audio
        Mean and standard deviation over an utterance's frames, of each layer: float32
        (n_utterances, n_layers * 2 * size); None where not read.
    text
        Counts of words, CSR (n_utterances, n_words); None where not read, or where there is none.
    """

    rows: pd.DataFrame
    audio: np.ndarray | None
    text: sp.csr_array | None

    @classmethod
    def read(cls, inputs: Files, arm: PooledLinear) -> Pooled:
        bow = BagOfWords.load(Path(inputs["bow"][0]).parent)
        audio = None
        if arm.reads_audio:
            pooled = pooled_frames(FrameFiles(inputs["frames"]), arm.layers)
            audio = np.stack([pooled[name] for name in bow.rows["id"]])
        has_words = "text" in arm.inputs and bow.words
        return cls(bow.rows, audio, bow.text if has_words else None)


def pooled_frames(frames: FrameFiles, layers: list[int] | None) -> dict[str, np.ndarray]:
    """Mean and standard deviation over each utterance's frames, float32 (n_layers * 2 * size,).

    Raises
    ------
    InputError
        If the encoder's frames lack a layer.
    """
    return {
        name: np.concatenate([of_clip.mean(axis=0), of_clip.std(axis=0)], axis=1).ravel()
        for name, half in frames.read(layers)
        for of_clip in [half.astype(np.float32)]
    }


@dataclass(frozen=True)
class FittedPooled:
    """What was learned of pooled frames and of words, and the classifier of both."""

    arm: PooledLinear
    scaler: StandardScaler | None
    weights: Pipeline | None
    coef: np.ndarray
    intercept: np.ndarray
    classes: np.ndarray

    def predict(self, inputs: Files, threads: int = 1) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it."""
        pooled = Pooled.read(inputs, self.arm)
        probabilities = _probabilities(
            _features(pooled, self.scaler, self.weights), self.coef, self.intercept
        )
        n_words = 0 if pooled.text is None else np.asarray(pooled.text.sum(axis=1)).ravel()
        return predictions_frame(pooled.rows, probabilities, self.classes, n_text_tokens=n_words)

    def save(self, path: Path) -> None:
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
        write_arrays(path, learned)

    @classmethod
    def open(cls, path: Path) -> FittedPooled:
        with np.load(path, allow_pickle=False) as learned:
            arm = PooledLinear.model_validate_json(learned["arm"].item())
            scaler = None
            if "mean" in learned:
                scaler = StandardScaler()
                scaler.mean_, scaler.scale_ = learned["mean"], learned["deviation"]
            weights = opened_weights(learned) if "occurs" in learned else None
            parts = (learned[name] for name in ("coef", "intercept"))
            return cls(arm, scaler, weights, *parts, learned["classes"].astype(object))


def _features(pooled: Pooled, scaler: StandardScaler | None, weights: Pipeline | None) -> Any:
    parts = [sp.csr_array((len(pooled.rows), 0))]
    if scaler is not None:
        parts.append(sp.csr_array(scaler.transform(pooled.audio)))
    if weights is not None:
        parts.append(weights.transform(pooled.text))
    return sp.hstack(parts, format="csr")


def _probabilities(features: sp.csr_array, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Softmax of the margins, (n, n_classes); of two classes the second one's alone is kept."""
    margins = features @ coef.T + intercept
    if margins.shape[1] == 1:
        margins = np.hstack([np.zeros_like(margins), margins])
    return softmax(margins, axis=1)
