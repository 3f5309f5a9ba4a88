"""Selections: the few audio tokens the language model will know.

Source: arXiv 2512.07571, section on token selection: an L1-penalised logistic regression on the
joint bag of words; text words compete for weight, but audio tokens alone are selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import train_test_split

from speechlasso.bag_of_words import AudioFeatures, BagOfWords, weighting
from speechlasso.config import LassoSelection
from speechlasso.errors import InputError
from speechlasso.evaluation import classification_scores
from speechlasso.lasso import fit_lasso, predict_probabilities


@dataclass(frozen=True)
class Token:
    """A kept audio token: its place in the codec, its feature index and its weight, the sum over
    classes of the absolute coefficients (None where nothing was fitted)."""

    layer: int
    code: int
    index: int
    weight: float | None = None


@dataclass(frozen=True)
class TokenSelection:
    """The kept set, ordered by feature index, with the evidence for it."""

    method: str
    tokens: list[Token]
    n_features: int
    evidence: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        evidence = {"alpha": None, "C": None, "objective": None, "duality_gap": None}
        evidence |= self.evidence
        tokens = [vars(token) for token in self.tokens]
        return {
            "method": self.method,
            **evidence,
            "n_features": self.n_features,
            "tokens": tokens,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TokenSelection:
        tokens = [Token(**token) for token in value["tokens"]]
        evidence = {
            key: value[key] for key in value if key not in ("method", "n_features", "tokens")
        }
        return cls(value["method"], tokens, value["n_features"], evidence)

    def rank_of_code(self, n_layers: int, codebook_size: int) -> np.ndarray:
        """Rank of each (layer, code) in the selection, -1 where it is not selected: int32,
        (n_layers, codebook_size)."""
        ranks = np.full((n_layers, codebook_size), -1, dtype=np.int32)
        for rank, token in enumerate(self.tokens):
            ranks[token.layer, token.code] = rank
        return ranks


def select_all(features: AudioFeatures) -> TokenSelection:
    return _selection("all", range(len(features)), features)


def select_random(features: AudioFeatures, n_tokens: int, seed: int) -> TokenSelection:
    """The control: tokens drawn uniformly without replacement from all audio tokens."""
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(features), size=n_tokens, replace=False))
    return _selection("random", drawn, features, evidence={"seed": seed})


def select_by_lasso(
    bow: BagOfWords, settings: LassoSelection, metric: str, positive_label: str | None
) -> TokenSelection:
    """Fit the lasso on part of the training rows, score it on the rest, keep what has weight.

    Raises
    ------
    InputError
        When alpha is so large that no audio token keeps any weight.
    """
    counts = bow.audio if settings.inputs == "audio" else sp.hstack([bow.audio, bow.text], "csr")
    labels = bow.rows["label"].to_numpy()
    fit_rows, held_out = train_test_split(
        bow.rows_in("train"),
        test_size=settings.holdout,
        random_state=settings.seed,
        stratify=labels[bow.rows_in("train")],
    )
    weights = weighting().fit(counts[fit_rows])
    fit = fit_lasso(
        weights.transform(counts[fit_rows]),
        labels[fit_rows],
        settings.alpha,
        class_weight="balanced",
    )
    importance = np.abs(fit.coef).sum(axis=0)
    kept = keep_important(importance, len(bow.features), settings)
    if not len(kept):
        raise InputError(
            f"lasso: with alpha {settings.alpha:g} no audio token keeps any weight; "
            f"choose a smaller alpha (all weights vanish from {fit.alpha_max:.3g} on)"
        )
    probabilities = predict_probabilities(fit, weights.transform(counts[held_out]))
    scores = classification_scores(
        np.searchsorted(fit.classes, labels[held_out]), probabilities, fit.classes, positive_label
    )
    evidence = {
        "alpha": settings.alpha,
        "C": 1 / settings.alpha,
        "objective": fit.objective,
        "duality_gap": fit.duality_gap,
        "converged": fit.converged,
        "n_fit_rows": len(fit_rows),
        "n_nonzero_audio": int((importance[: len(bow.features)] > 0).sum()),
        "n_nonzero_text": int((importance[len(bow.features) :] > 0).sum()),
        f"holdout_{metric}": scores[metric],
    }
    return _selection("lasso", kept, bow.features, importance, evidence)


def keep_important(
    importance: np.ndarray, n_audio_features: int, settings: LassoSelection
) -> np.ndarray:
    """Indices of the audio features to keep, ascending.

    Parameters
    ----------
    importance
        Sum over classes of absolute coefficients, (n_features,), audio features first.
    settings
        threshold "mean": at least the mean over ALL features, words included (as published);
        "nonzero": above zero; "top_k": the k largest of those above zero.
    """
    audio = importance[:n_audio_features]
    if settings.threshold == "mean":
        return np.flatnonzero((audio >= importance.mean()) & (audio > 0))
    if settings.threshold == "nonzero":
        return np.flatnonzero(audio > 0)
    largest = np.argsort(-audio, kind="stable")[: settings.top_k]
    return np.sort(largest[audio[largest] > 0])


def _selection(
    method: str,
    indices: Sequence[int],
    features: AudioFeatures,
    importance: np.ndarray | None = None,
    evidence: dict[str, Any] | None = None,
) -> TokenSelection:
    tokens = [
        Token(
            *features.layer_and_code(index),
            int(index),
            None if importance is None else float(importance[index]),
        )
        for index in indices
    ]
    return TokenSelection(method, tokens, len(features), evidence or {})
