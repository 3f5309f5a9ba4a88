"""Ways to choose audio tokens on the training rows of one fold: what selection_study.py compares.

The library's lasso and its ablations, its stability selection and controls, and other ideas:
penalties lighter for frequent tokens, a coverage constraint, ridge, analysis of variance.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression

from speechlasso.evaluation.settings import Criterion
from speechlasso.lasso.fit import LassoFit, lasso_path
from speechlasso.selection import controls as selection_controls
from speechlasso.selection.bag_of_words import BagOfWords, weighting
from speechlasso.selection.frequency_penalty import frequency_factors, scale_audio_columns
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import select_by_lasso, selection_probabilities
from speechlasso.selection.settings import LassoSelection, StabilitySelection

METRICS = {"demo": "macro_f1", "emodb": "uar"}
# Kept tokens that an utterance should have, for the method with a coverage constraint.
COVERAGE = 5
STABILITY = StabilitySelection(method="stability", n_subsamples=20)
LASSOS = {
    "lasso": {},
    "lasso_unscaled": {"scaling": "none"},
    "lasso_counts": {"weighting": "counts"},
    "lasso_audio": {"inputs": "audio"},
    "lasso_no_phrase": {"layers": [0, 1, 2]},
}


@dataclass(frozen=True)
class Unit:
    """One fold of one corpus, and what its methods share."""

    corpus: str
    name: str
    bow: BagOfWords
    speakers: np.ndarray
    """Of each row, (n_utterances,)."""

    @property
    def metric(self) -> str:
        return METRICS[self.corpus]

    @cached_property
    def train(self) -> np.ndarray:
        return self.bow.rows_in("train")

    @cached_property
    def counts(self) -> sp.csr_array:
        """Audio counts of the training rows."""
        return self.bow.audio[self.train]

    @cached_property
    def labels(self) -> np.ndarray:
        return self.bow.rows["label"].to_numpy()[self.train]

    @cached_property
    def document_frequency(self) -> np.ndarray:
        return selection_controls.document_frequency(self.counts)

    @cached_property
    def speaker_frequency(self) -> np.ndarray:
        """Share of the training speakers in a tenth or more of whose utterances a token occurs."""
        occurs = pd.DataFrame((self.counts > 0).toarray())
        by_speaker = occurs.groupby(self.speakers[self.train]).mean()
        return (by_speaker >= 0.1).mean().to_numpy()

    @cached_property
    def weighted(self) -> sp.csr_array:
        """Training rows, audio features first, by TF-IDF and unit variance."""
        joint = sp.hstack([self.counts, self.bow.text[self.train]], format="csr")
        return weighting().fit_transform(joint)

    @cached_property
    def shares(self) -> np.ndarray:
        """Square roots of each token's share of an utterance's tokens, (n_training_rows, n)."""
        counts = self.counts.toarray()
        return np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))

    @cached_property
    def paths(self) -> dict[str, SelectionPath]:
        """Those of the library's lasso and its ablations that were asked for so far."""
        return {}

    @cached_property
    def stability(self) -> np.ndarray:
        return selection_probabilities(
            self.bow, STABILITY, STABILITY.alpha, STABILITY.n_subsamples, threshold="mean"
        )

    def lasso(self, name: str, n_tokens: int) -> np.ndarray:
        """Tokens of a lasso as the library selects them, about so many."""
        settings = LassoSelection(method="lasso", n_tokens=n_tokens, **LASSOS[name])
        if name not in self.paths:
            rows = LassoRows.of(self.bow, settings)
            self.paths[name] = SelectionPath.fitted(rows)
        selection = select_by_lasso(
            self.bow, self.paths[name], settings, Criterion(metric=self.metric)
        )
        return np.array([token.index for token in selection.tokens])


class WeightedLasso:
    """A lasso on all training rows whose penalty is lighter for frequent tokens, as
    `speechlasso.selection.frequency_penalty` has it; gamma 0 is the ordinary one."""

    def __init__(self, unit: Unit, gamma: float):
        factors = frequency_factors(unit.counts, gamma)
        scaled = scale_audio_columns(unit.weighted, factors)
        self._n_audio = len(factors)
        self._path = lasso_path(scaled, unit.labels, n_alphas=40, alpha_ratio=0.003)

    def importance(self, n_tokens: int) -> np.ndarray:
        """Of each audio token, at the largest alpha of the path with so many tokens in it."""

        def audio(fit: LassoFit) -> np.ndarray:
            return fit.importance[: self._n_audio]

        large = [fit for fit in self._path if np.count_nonzero(audio(fit)) >= n_tokens]
        return audio(large[0] if large else self._path[-1])


def covered(importance: np.ndarray, counts: sp.csr_array, n_tokens: int) -> np.ndarray:
    """Three quarters of the tokens by importance; each of the rest is the one that fills most of
    what rows lack to `COVERAGE` kept tokens, and where nothing is lacking the most important."""
    order = np.argsort(-importance, kind="stable")
    kept = order[: n_tokens - n_tokens // 4].tolist()
    dense = counts.toarray()
    while len(kept) < n_tokens:
        lacking = np.maximum(COVERAGE - dense[:, kept].sum(axis=1), 0)
        rest = order[~np.isin(order, kept)]
        gain = np.minimum(dense[:, rest], lacking[:, None]).sum(axis=0)
        kept.append(int(rest[gain.argmax()]))
    return np.sort(kept)


def within_speakers(values: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Deviations of the rows from their speaker's mean."""
    frame = pd.DataFrame(values)
    return (frame - frame.groupby(speakers).transform("mean")).to_numpy()


def f_statistic(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of one-way analysis of variance over the classes; 0 for tokens that never vary."""
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.nan_to_num(f_classif(values, labels)[0], nan=0.0, posinf=0.0)


def ridge_importance(unit: Unit) -> np.ndarray:
    """Sum over classes of absolute coefficients under an L2 penalty, which shares weight among
    correlated tokens where the lasso keeps one of them."""
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    model.fit(unit.weighted, unit.labels)
    return np.abs(model.coef_).sum(axis=0)[: len(unit.document_frequency)]


def selectors(unit: Unit, n_draws: int) -> dict[str, Callable[[int], np.ndarray]]:
    """From a number of tokens to the indices of those kept, by method."""

    def ranked(scores: np.ndarray) -> Callable[[int], np.ndarray]:
        return lambda k: selection_controls.top_k(scores, k)

    def drawn(seed: int) -> Callable[[int], np.ndarray]:
        n = len(unit.bow.features)
        return lambda k: np.sort(np.random.default_rng(seed).choice(n, k, replace=False))

    def drawn_below_phrase(seed: int) -> Callable[[int], np.ndarray]:
        n = 3 * unit.bow.features.codebook_size
        return lambda k: np.sort(np.random.default_rng(seed).choice(n, k, replace=False))

    weighted = cache(lambda gamma: WeightedLasso(unit, gamma))

    def by_weighted(gamma: float) -> Callable[[int], np.ndarray]:
        return lambda k: selection_controls.top_k(weighted(gamma).importance(k), k)

    speakers = unit.speakers[unit.train]
    inside = f_statistic(within_speakers(unit.shares, speakers), unit.labels)
    ridge = ridge_importance(unit)
    return {
        **{name: lambda k, name=name: unit.lasso(name, k) for name in LASSOS},
        "stability": lambda k: selection_controls.top_k(unit.stability, k),
        "chi_square": ranked(selection_controls.chi_square(unit.counts, unit.labels)),
        "mutual_information": ranked(
            selection_controls.mutual_information(unit.counts, unit.labels)
        ),
        "most_frequent": ranked(selection_controls.term_frequency(unit.counts)),
        "lasso_all_rows": by_weighted(0.0),
        "lasso_df_0.5": by_weighted(0.5),
        "lasso_df_1": by_weighted(1.0),
        "lasso_covered": lambda k: covered(weighted(0.0).importance(k), unit.counts, k),
        "stability_df": lambda k: selection_controls.top_k(
            unit.stability * np.sqrt(unit.document_frequency), k
        ),
        "ridge": ranked(ridge),
        "ridge_df": ranked(ridge * np.sqrt(unit.document_frequency)),
        "anova": ranked(f_statistic(unit.shares, unit.labels)),
        "anova_in_speaker": ranked(inside),
        **{f"random {seed}": drawn(seed) for seed in range(n_draws)},
        **{f"random_no_phrase {seed}": drawn_below_phrase(seed) for seed in range(n_draws)},
    }
