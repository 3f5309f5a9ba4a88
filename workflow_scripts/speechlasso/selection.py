"""Selections: the few audio tokens the language model will know.

Source: arXiv 2512.07571, section on token selection: an L1-penalised logistic regression on the
joint bag of words; text words compete for weight, but audio tokens alone are selected.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from speechlasso import selection_controls
from speechlasso.alpha_choice import alpha_for_n_tokens, best_alpha, cross_validate
from speechlasso.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.config import (
    LassoFitting,
    LassoSelection,
    RandomSelection,
    RankedSelection,
    Selection,
    StabilitySelection,
)
from speechlasso.errors import InputError
from speechlasso.lasso import LassoFit
from speechlasso.selection_path import LassoRows, SelectionPath
from speechlasso.stages import SelectTokens
from speechlasso.token_selection import Token, TokenSelection

logger = logging.getLogger(__name__)


def select(
    bow: BagOfWords, settings: SelectTokens, *, path: SelectionPath | None, n_tokens: int | None
) -> TokenSelection:
    """Select by whichever method the settings name.

    Parameters
    ----------
    path
        Of the lasso, for that method.
    n_tokens
        Size of the selection, for methods that take it from another.
    """
    chosen = settings.selection
    if isinstance(chosen, LassoSelection):
        return select_by_lasso(bow, path, chosen, settings.metric, settings.positive_label)
    if isinstance(chosen, StabilitySelection):
        return select_stable(bow, chosen, n_tokens)
    if isinstance(chosen, RankedSelection):
        return select_ranked(bow, chosen, n_tokens)
    if isinstance(chosen, RandomSelection):
        return select_random(bow.features, n_tokens, settings.seed)
    return select_all(bow.features)


def select_all(features: AudioFeatures) -> TokenSelection:
    return _selection("all", range(len(features)), features)


def select_random(features: AudioFeatures, n_tokens: int, seed: int) -> TokenSelection:
    """The control: tokens drawn uniformly without replacement from all audio tokens."""
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(features), size=n_tokens, replace=False))
    return _selection("random", drawn, features, evidence={"seed": seed})


def select_ranked(bow: BagOfWords, settings: RankedSelection, n_tokens: int) -> TokenSelection:
    """The tokens that score best one by one, on the training rows."""
    train = bow.rows_in("train")
    counts, labels = bow.audio[train], bow.rows["label"].to_numpy()[train]
    if settings.method == "chi_square":
        scores = selection_controls.chi_square(counts, labels)
    elif settings.method == "mutual_information":
        scores = selection_controls.mutual_information(counts, labels)
    else:
        scores = selection_controls.term_frequency(counts)
    kept = selection_controls.top_k(scores, n_tokens)
    return _selection(settings.method, kept, bow.features, scores)


def select_stable(bow: BagOfWords, settings: StabilitySelection, n_tokens: int) -> TokenSelection:
    """The tokens that the lasso selects most often on half-samples of the training rows."""
    probabilities = selection_probabilities(
        bow, settings, settings.alpha, settings.n_subsamples, threshold="mean"
    )
    kept = selection_controls.top_k(probabilities, n_tokens)
    evidence = {"alpha": settings.alpha, "n_subsamples": settings.n_subsamples}
    return _selection("stability", kept, bow.features, probabilities, evidence)


def lasso_selection_probabilities(
    bow: BagOfWords, settings: Selection, selection: TokenSelection
) -> np.ndarray | None:
    """How often a lasso's alpha and threshold select each audio feature on half-samples; None for
    other methods."""
    if not isinstance(settings, LassoSelection) or settings.n_subsamples == 0:
        return None
    return selection_probabilities(
        bow,
        settings,
        selection.evidence["alpha"],
        settings.n_subsamples,
        threshold=settings.threshold,
        top_k=settings.top_k,
    )


def selection_probabilities(
    bow: BagOfWords, fitting: LassoFitting, alpha: float, n_subsamples: int, **threshold: Any
) -> np.ndarray:
    """Share of half-samples of the training rows in which a lasso selects each audio feature,
    (n_audio_features,).

    Parameters
    ----------
    **threshold
        As for `keep_important`.
    """
    rows = LassoRows.of(bow, fitting)
    probabilities = np.zeros(len(bow.features))
    probabilities[rows.audio_index] = selection_controls.stability(
        rows.counts,
        rows.labels,
        rows.n_audio_features,
        alpha,
        fit=rows.fit_to,
        keep=partial(keep_important, n_audio_features=rows.n_audio_features, **threshold),
        n_subsamples=n_subsamples,
        seed=fitting.seed,
    )
    return probabilities


def select_by_lasso(
    bow: BagOfWords,
    path: SelectionPath,
    settings: LassoSelection,
    metric: str,
    positive_label: str | None,
) -> TokenSelection:
    """Choose an alpha, and keep the audio tokens that have weight there.

    Raises
    ------
    InputError
        When alpha is so large that no audio token keeps any weight.
    """
    rows = LassoRows.of(bow, settings)
    keep = partial(
        keep_important,
        n_audio_features=rows.n_audio_features,
        threshold=settings.threshold,
        top_k=settings.top_k,
    )
    alpha = choose_alpha(rows, path, settings, keep, metric, positive_label)
    fit = path.at(alpha, rows)
    kept = keep(fit.importance)
    if not len(kept):
        raise InputError(
            f"lasso: with alpha {alpha:g} no audio token keeps any weight; "
            f"choose a smaller alpha (all weights vanish from {fit.alpha_max:.3g} on)"
        )
    audio = fit.importance[: rows.n_audio_features]
    evidence = {
        "alpha": alpha,
        "C": 1 / alpha,
        "objective": fit.objective,
        "duality_gap": fit.duality_gap,
        "converged": fit.converged,
        "alpha_max": fit.alpha_max,
        "n_fit_rows": len(rows.fit),
        "n_nonzero_audio": int(np.count_nonzero(audio)),
        "n_nonzero_text": int(np.count_nonzero(fit.importance[rows.n_audio_features :])),
        f"holdout_{metric}": rows.held_out_scores(fit, positive_label)[metric],
    }
    importance = np.zeros(len(bow.features))
    importance[rows.audio_index] = audio
    return _selection(
        settings.method,
        rows.audio_index[kept],
        bow.features,
        importance,
        evidence,
        _class_weights(fit, kept),
    )


def choose_alpha(
    rows: LassoRows,
    path: SelectionPath,
    settings: LassoSelection,
    keep: Any,
    metric: str,
    positive_label: str | None,
) -> float:
    """The alpha that the settings name, or that has the size or the cross-validated score they
    ask for."""
    if settings.n_tokens is not None:
        table = path.table.assign(n_tokens=[len(keep(fit.importance)) for fit in path.fits])
        alpha, size = alpha_for_n_tokens(
            table, settings.n_tokens, lambda alpha: len(keep(path.at(alpha, rows).importance))
        )
        if size != settings.n_tokens:
            logger.warning("no alpha keeps %d tokens; %g keeps %d", settings.n_tokens, alpha, size)
        return alpha
    if settings.alpha != "cv":
        return settings.alpha
    table = cross_validate(
        rows.counts,
        rows.labels,
        rows.groups,
        rows.n_audio_features,
        path.table["alpha"].tolist(),
        keep=keep,
        fit_path=rows.fit_path_to,
        n_folds=settings.cv_folds,
        seed=settings.seed,
        metric=metric,
        positive_label=positive_label,
    )
    # A selection of no token is no selection, however well the words score.
    return best_alpha(table[table["n_tokens"] >= 1], settings.one_standard_error)


def keep_important(
    importance: np.ndarray, *, n_audio_features: int, threshold: str, top_k: int | None = None
) -> np.ndarray:
    """Indices of the audio features to keep, ascending.

    Parameters
    ----------
    importance
        Sum over classes of absolute coefficients, (n_features,), audio features first.
    threshold
        "mean": at least the mean over ALL features, words included (as published); "nonzero":
        above zero; "top_k": the `top_k` largest of those above zero.
    """
    audio = importance[:n_audio_features]
    if threshold == "mean":
        return np.flatnonzero((audio >= importance.mean()) & (audio > 0))
    if threshold == "nonzero":
        return np.flatnonzero(audio > 0)
    return selection_controls.top_k(audio, top_k)


def _class_weights(fit: LassoFit, kept: np.ndarray) -> dict[str, list[float]]:
    names = fit.classes if len(fit.coef) > 1 else fit.classes[1:]
    return {str(name): row[kept].tolist() for name, row in zip(names, fit.coef, strict=True)}


def _selection(
    method: str,
    indices: Sequence[int],
    features: AudioFeatures,
    weights: np.ndarray | None = None,
    evidence: dict[str, Any] | None = None,
    class_weights: dict[str, list[float]] | None = None,
) -> TokenSelection:
    tokens = [
        Token(
            *features.layer_and_code(index),
            int(index),
            None if weights is None else float(weights[index]),
        )
        for index in indices
    ]
    return TokenSelection(method, tokens, len(features), evidence or {}, class_weights or {})
