"""Selections: the few audio tokens the language model will know.

Source: arXiv 2512.07571, section on token selection: an L1-penalised logistic regression on the
joint bag of words; text words compete for weight, but audio tokens alone are selected.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.lasso.fit import LassoFit
from speechlasso.lasso.occurring import occurring_columns
from speechlasso.selection import controls as selection_controls
from speechlasso.selection.alpha_choice import Keep, alpha_for_n_tokens, best_alpha, cross_validate
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.selection.path import LassoRows, SelectionPath, columns_of_layers
from speechlasso.selection.settings import (
    LassoFitting,
    LassoSelection,
    RandomSelection,
    RankedSelection,
    SelectionMethod,
    StabilitySelection,
)
from speechlasso.selection.token_selection import Token, TokenSelection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """What a method reads besides the bag of words, as far as its settings ask for it.

    Attributes
    ----------
    path, criterion
        The lasso's fits along its path, and the score that chooses among them.
    n_tokens, layers
        Size of another selection, and the codec layers that it chose from; None: all.
    seed, fold
        Of the experiment, for a selection that is drawn.
    """

    path: SelectionPath | None = None
    criterion: Criterion = Criterion()
    n_tokens: int | None = None
    layers: Sequence[int] | None = None
    seed: int | None = None
    fold: str | None = None


def select(bow: BagOfWords, chosen: SelectionMethod, given: Given) -> TokenSelection:
    """Select by whichever of this project's methods the settings name."""
    if isinstance(chosen, LassoSelection):
        return select_by_lasso(bow, given.path, chosen, given.criterion)
    if isinstance(chosen, StabilitySelection):
        return select_stable(bow, chosen, given.n_tokens)
    if isinstance(chosen, RankedSelection):
        return select_ranked(bow, chosen, given.n_tokens, given.layers)
    if isinstance(chosen, RandomSelection):
        return select_random(
            bow, given.n_tokens, layers=given.layers, seed=given.seed, fold=given.fold
        )
    return select_all(bow)


def select_all(bow: BagOfWords) -> TokenSelection:
    """Every audio token that the training rows have; of others nothing can be learned."""
    return _selection("all", candidates(bow, None), bow.features)


def select_random(
    bow: BagOfWords, n_tokens: int, *, layers: Sequence[int] | None, seed: int, fold: str
) -> TokenSelection:
    """The control: tokens drawn uniformly without replacement from those that the selection whose
    size they have could choose from, anew for each seed and each fold.

    Parameters
    ----------
    layers
        Codec layers of that selection; None: all that are counted.
    """
    rng = np.random.default_rng([seed, *fold.encode()])
    drawn = rng.choice(candidates(bow, layers), size=n_tokens, replace=False)
    return _selection("random", np.sort(drawn), bow.features, evidence={"seed": seed})


def candidates(bow: BagOfWords, layers: Sequence[int] | None) -> np.ndarray:
    """Indices of the audio tokens of these codec layers that occur in the training rows."""
    occurs = occurring_columns(bow.audio[bow.rows_in("train")])
    of_layers = columns_of_layers(bow.features, layers)
    return of_layers[occurs[of_layers]]


def select_ranked(
    bow: BagOfWords,
    settings: RankedSelection,
    n_tokens: int,
    layers: Sequence[int] | None = None,
) -> TokenSelection:
    """The tokens that score best one by one, on the training rows.

    Parameters
    ----------
    layers
        Codec layers to choose from; None: all that are counted.
    """
    train = bow.rows_in("train")
    counts, labels = bow.audio[train], bow.rows["label"].to_numpy()[train]
    if settings.method == "chi_square":
        scores = selection_controls.chi_square(counts, labels)
    elif settings.method == "mutual_information":
        scores = selection_controls.mutual_information(counts, labels)
    else:
        scores = selection_controls.term_frequency(counts)
    columns = columns_of_layers(bow.features, layers)
    kept = columns[selection_controls.top_k(scores[columns], n_tokens)]
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
    bow: BagOfWords, settings: SelectionMethod, selection: TokenSelection
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
    criterion: Criterion,
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
    alpha = choose_alpha(rows, path, settings, keep, criterion)
    fit = path.at(alpha, rows)
    kept = keep(fit.importance, fit.n_occurring)
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
        **rows.held_out_scores(fit),
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
    keep: Keep,
    criterion: Criterion,
) -> float:
    """The alpha that the settings name, or that has the size or the cross-validated score they
    ask for."""
    if settings.n_tokens is not None:
        table = path.table.assign(n_tokens=[_n_kept(fit, keep) for fit in path.fits])
        alpha, size = alpha_for_n_tokens(
            table, settings.n_tokens, lambda alpha: _n_kept(path.at(alpha, rows), keep)
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
        criterion=criterion,
    )
    # A selection of no token is no selection, however well the words score.
    return best_alpha(table[table["n_tokens"] >= 1], settings.one_standard_error, criterion)


def _n_kept(fit: LassoFit, keep: Keep) -> int:
    return len(keep(fit.importance, fit.n_occurring))


def keep_important(
    importance: np.ndarray,
    n_occurring: int,
    *,
    n_audio_features: int,
    threshold: str,
    top_k: int | None = None,
) -> np.ndarray:
    """Indices of the audio features to keep, ascending.

    Parameters
    ----------
    importance
        Sum over classes of absolute coefficients, (n_features,), audio features first.
    n_occurring
        Features that occur in the rows of the fit; all others have importance 0.
    threshold
        "mean": at least the mean over all features that occur, words included; "nonzero": above
        zero; "top_k": the `top_k` largest of those above zero. As published, the mean is over the
        codes that never occur as well, and then a codebook with more idle codes keeps more tokens
        from the same data.
    """
    audio = importance[:n_audio_features]
    if threshold == "mean":
        return np.flatnonzero((audio >= importance.sum() / n_occurring) & (audio > 0))
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
