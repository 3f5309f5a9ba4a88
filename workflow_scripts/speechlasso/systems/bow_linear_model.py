"""Fit the system `bow_linear`, and open what was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from speechlasso.evaluation.inner_folds import mean_scores
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.evaluation.without_audio import with_silence
from speechlasso.files import read_json, write_arrays
from speechlasso.selection.bag_of_words import BagOfWords, weighting
from speechlasso.selection.token_selection import TokenSelection
from speechlasso.systems.bow_linear import BowLinear
from speechlasso.systems.linear_choice import (
    best_classifier,
    learned_weights,
    opened_weights,
    require_features,
)

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

MODEL = "model.npz"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fit on the training rows and choose C on the validation rows, or by inner folds."""
    counts = Counts.read(inputs, settings.arm)
    fitted, training = fit_linear(
        counts,
        settings.arm,
        settings.criterion,
        settings.seed,
        mean_scores(inputs, settings.criterion),
    )
    fitted.save(folder / MODEL)
    return training


def open(folder: Path) -> FittedLinear:
    return FittedLinear.open(folder / MODEL)


@dataclass(frozen=True)
class Counts:
    """Counts of the words and the kept audio tokens that an arm reads.

    Attributes
    ----------
    rows
        id, label, split of each utterance.
    audio, text
        CSR, (n_utterances, n_kept_tokens) and (n_utterances, n_words); None where not read.
    """

    rows: pd.DataFrame
    audio: sp.csr_array | None
    text: sp.csr_array | None

    @classmethod
    def of(cls, bow: BagOfWords, selection: TokenSelection | None, inputs: list[str]) -> Counts:
        kept = [token.index for token in selection.tokens] if "audio" in inputs else None
        return cls(
            bow.rows,
            None if kept is None else bow.audio[:, kept],
            bow.text if "text" in inputs else None,
        )

    @classmethod
    def read(cls, inputs: Files, arm: BowLinear) -> Counts:
        bow = BagOfWords.load(Path(inputs["bow"][0]).parent)
        selection = None
        if arm.reads_audio:
            selection = TokenSelection.from_json(read_json(inputs["select"][0]))
        return cls.of(bow, selection, arm.inputs)

    def silent(self, rows: np.ndarray) -> Counts:
        """Some rows, by bool, as if no audio token had occurred in them."""
        nothing = sp.csr_array((int(rows.sum()), self.audio.shape[1]), dtype=self.audio.dtype)
        return Counts(self.rows[rows], nothing, self.text[rows])

    @property
    def joint(self) -> sp.csr_array:
        parts = [part for part in (self.audio, self.text) if part is not None]
        return sp.hstack(parts, format="csr")


@dataclass(frozen=True)
class FittedLinear:
    """Weights of the counts, and the classifier of weighted counts."""

    arm: BowLinear
    weights: Pipeline
    classifier: ClassifierMixin
    seed: int | None

    def predict(self, inputs: Files, threads: int = 1) -> pd.DataFrame:
        counts = Counts.read(inputs, self.arm)
        # A dummy listens to nothing.
        reads_both = counts.audio is not None and counts.text is not None and not self.arm.is_dummy
        return with_silence(
            self.predict_counts(counts),
            pd.Series(reads_both, counts.rows.index),
            lambda rows: self.predict_counts(counts.silent(rows.to_numpy())),
        )

    def predict_counts(self, counts: Counts) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it, rows as in the counts."""
        return predictions_frame(
            counts.rows,
            self.classifier.predict_proba(self.weights.transform(counts.joint)),
            self.classifier.classes_,
            n_audio_tokens=_sizes(counts.audio),
            n_text_tokens=_sizes(counts.text),
        )

    def save(self, path: Path) -> None:
        """Write what was learned as arrays; nothing is pickled."""
        learned = {
            "arm": self.arm.model_dump_json(),
            "classes": np.asarray(self.classifier.classes_, dtype=str),
            **learned_weights(self.weights),
        }
        if self.arm.is_dummy:
            learned |= {"shares": self.classifier.class_prior_, "seed": self.seed}
        else:
            learned |= {"coef": self.classifier.coef_, "intercept": self.classifier.intercept_}
        write_arrays(path, learned)

    @classmethod
    def open(cls, path: Path) -> FittedLinear:
        with np.load(path, allow_pickle=False) as learned:
            arm = BowLinear.model_validate_json(learned["arm"].item())
            weights = opened_weights(learned)
            seed = int(learned["seed"]) if "seed" in learned else None
            classifier = new_classifier(arm, seed=seed)
            classifier.classes_ = learned["classes"].astype(object)
            if arm.is_dummy:
                # scikit-learn's own fit finds the shares again.
                rows = np.zeros((len(classifier.classes_), 1))
                classifier.fit(rows, classifier.classes_, sample_weight=learned["shares"])
            else:
                classifier.coef_, classifier.intercept_ = learned["coef"], learned["intercept"]
        return cls(arm, weights, classifier, seed)


def fit_linear(
    counts: Counts,
    arm: BowLinear,
    criterion: Criterion,
    seed: int | None = None,
    inner_scores: Mapping[float, float] | None = None,
) -> tuple[FittedLinear, dict[str, Any]]:
    """Fit on the training rows, choose C on the validation rows or by inner folds.

    Parameters
    ----------
    criterion
        Chooses C.
    seed
        Of the dummy's draws; logistic regression draws nothing.
    inner_scores
        As `linear_choice.best_classifier` takes them.

    Returns
    -------
    fitted
        Predicts from counts of the same words and tokens.
    training
        Chosen C and the validation score of each.

    Raises
    ------
    InputError
        When there is nothing to count.
    """
    joint = counts.joint
    require_features(joint)
    train = np.flatnonzero(counts.rows["split"] == "train")
    weights = weighting(arm.weighting, arm.scaling).fit(joint[train])
    best, training = best_classifier(
        weights.transform(joint),
        counts.rows,
        arm.C,
        lambda C: new_classifier(arm, C, seed),
        criterion,
        inner_scores=inner_scores,
    )
    return FittedLinear(arm, weights, best, seed), training


def new_classifier(arm: BowLinear, C: float = 1.0, seed: int | None = None) -> ClassifierMixin:
    """scikit-learn's, not fitted yet."""
    if arm.is_dummy:
        return DummyClassifier(strategy="stratified", random_state=seed)
    return LogisticRegression(C=C, class_weight="balanced", max_iter=5000)


def _sizes(counts: sp.csr_array | None) -> np.ndarray | int:
    return 0 if counts is None else np.asarray(counts.sum(axis=1)).ravel()
