"""The lasso path of a bag of words: fitted once, and then every alpha on it is free.

Source: arXiv 2512.07571, section on token selection: L1-penalised logistic regression on the joint
bag of words, fitted on part of the training rows and scored on the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from speechlasso.data.holdout import hold_out
from speechlasso.evaluation.scores import classification_scores
from speechlasso.files import write_parquet, written_whole
from speechlasso.lasso.fit import LassoFit, fit_lasso, lasso_path, predict_probabilities
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords, weighting
from speechlasso.selection.codec_layers import check_layers
from speechlasso.selection.frequency_penalty import frequency_factors, scale_audio_columns
from speechlasso.selection.settings import LassoFitting

HELD_OUT_SCORES = ("macro_f1", "uar", "accuracy")


@dataclass(frozen=True)
class LassoRows:
    """What the lasso reads: counts of the training rows, divided into those that fit it and those
    that score it.

    Attributes
    ----------
    counts
        Audio features first, then words; CSR, (n_training_rows, n_features).
    labels
        (n_training_rows,).
    groups
        The group (usually the speaker) of each row, (n_training_rows,); None where there are none.
    audio_index
        Index in the bag of words of each audio feature, ascending, (n_audio_features,).
    fit, held_out
        Positions of the rows.
    fitting
        The settings behind this.
    """

    counts: sp.csr_array
    labels: np.ndarray
    groups: np.ndarray | None
    audio_index: np.ndarray
    fit: np.ndarray
    held_out: np.ndarray
    fitting: LassoFitting

    @classmethod
    def of(cls, bow: BagOfWords, fitting: LassoFitting) -> LassoRows:
        """Divide the training rows, whole groups where there are groups.

        Raises
        ------
        InputError
            When they are too few to hold some of every class out.
        """
        train = bow.rows_in("train")
        labels = bow.rows["label"].to_numpy()[train]
        groups = bow.rows["group"].to_numpy()[train] if "group" in bow.rows else None
        audio_index = columns_of_layers(bow.features, fitting.layers)
        counts = bow.audio[train][:, audio_index]
        if fitting.inputs == "joint":
            counts = sp.hstack([counts, bow.text[train]], format="csr")
        fit, held_out = hold_out(
            labels, groups, fitting.holdout, fitting.seed, setting="the lasso's holdout"
        )
        return cls(counts, labels, groups, audio_index, fit, held_out, fitting)

    @property
    def n_audio_features(self) -> int:
        return len(self.audio_index)

    @cached_property
    def weighted(self) -> tuple[sp.csr_array, sp.csr_array]:
        """Weighted features of the rows that fit and of those that score, both by what the first
        ones have taught."""
        fit, held_out = self.counts[self.fit], self.counts[self.held_out]
        weights = self._weighting_of(fit)
        return weights.transform(fit), weights.transform(held_out)

    def _weighting_of(self, counts: sp.csr_array) -> Pipeline:
        """What these rows teach of weights, scales and frequencies, and nothing of other rows."""
        weights = weighting(self.fitting.weighting, self.fitting.scaling).fit(counts)
        if self.fitting.frequency_exponent == 0:
            return weights
        audio = counts[:, : self.n_audio_features]
        factors = frequency_factors(audio, self.fitting.frequency_exponent)
        scale = FunctionTransformer(
            scale_audio_columns, accept_sparse=True, kw_args={"factors": factors}
        )
        return make_pipeline(weights, scale)

    def refined(self, start: LassoFit, alpha: float) -> LassoFit:
        """The fit at an alpha, begun from the one at another."""
        return fit_lasso(
            self.weighted[0],
            self.labels[self.fit],
            alpha,
            multi_class=self.fitting.multi_class,
            start=start,
        )

    def fit_to(self, counts: sp.csr_array, labels: np.ndarray, alpha: float) -> LassoFit:
        """The lasso with these settings on other rows, such as a subsample of these."""
        return self.fit_path_to(counts, labels, [alpha])[1][0]

    def fit_path_to(
        self, counts: sp.csr_array, labels: np.ndarray, alphas: Sequence[float] | None
    ) -> tuple[Pipeline, list[LassoFit]]:
        """Weighting and path of lasso fits with these settings on other rows."""
        weights = self._weighting_of(counts)
        multi_class = self.fitting.multi_class
        return weights, lasso_path(
            weights.transform(counts), labels, alphas, multi_class=multi_class
        )

    def held_out_scores(self, fit: LassoFit) -> dict[str, float]:
        """Scores on the held-out rows, named holdout_<metric>: all that need no chosen class."""
        probabilities = predict_probabilities(fit, self.weighted[1])
        targets = np.searchsorted(fit.classes, self.labels[self.held_out])
        scores = classification_scores(targets, probabilities, fit.classes, None)
        return {f"holdout_{name}": scores[name] for name in HELD_OUT_SCORES}


@dataclass(frozen=True)
class SelectionPath:
    """Fits from alpha_max, where all weights vanish, down a geometric grid.

    Attributes
    ----------
    fits
        Largest alpha first.
    table
        alpha, objective, duality_gap, converged, iterations, seconds, n_audio and n_text (features
        with weight) and the held-out scores; one row per fit.
    """

    fits: list[LassoFit]
    table: pd.DataFrame

    @classmethod
    def fitted(cls, rows: LassoRows) -> SelectionPath:
        _, fits = rows.fit_path_to(rows.counts[rows.fit], rows.labels[rows.fit], alphas=None)
        table = [
            {
                "alpha": fit.alpha,
                "objective": fit.objective,
                "duality_gap": fit.duality_gap,
                "converged": fit.converged,
                "iterations": fit.iterations,
                "seconds": fit.seconds,
                "n_audio": int((fit.importance[: rows.n_audio_features] > 0).sum()),
                "n_text": int((fit.importance[rows.n_audio_features :] > 0).sum()),
                **rows.held_out_scores(fit),
            }
            for fit in fits
        ]
        return cls(fits, pd.DataFrame(table))

    def at(self, alpha: float, rows: LassoRows) -> LassoFit:
        """The fit at an alpha: from the path if it lies on it, else refined from its neighbour."""
        distances = [abs(np.log(fit.alpha / alpha)) for fit in self.fits]
        nearest = self.fits[int(np.argmin(distances))]
        return nearest if min(distances) < 1e-9 else rows.refined(nearest, alpha)

    def save(self, folder: str | Path) -> None:
        """path.parquet, and coefficients.npz with the fits' coefficients one below the other."""
        first = self.fits[0]
        table = self.table.assign(
            alpha_max=first.alpha_max,
            multi_class=first.multi_class,
            n_occurring=first.n_occurring,
            classes=[first.classes.tolist()] * len(self.fits),
            intercept=[fit.intercept.tolist() for fit in self.fits],
        )
        write_parquet(Path(folder) / "path.parquet", table)
        with written_whole(Path(folder) / "coefficients.npz") as temporary:
            sp.save_npz(temporary, sp.csr_array(np.vstack([fit.coef for fit in self.fits])))

    @classmethod
    def load(cls, folder: str | Path) -> SelectionPath:
        table = pd.read_parquet(Path(folder) / "path.parquet")
        coefficients = sp.load_npz(Path(folder) / "coefficients.npz")
        n_vectors = coefficients.shape[0] // len(table)
        fits = [
            LassoFit(
                alpha=row.alpha,
                alpha_max=row.alpha_max,
                classes=np.array(row.classes),
                multi_class=row.multi_class,
                n_occurring=row.n_occurring,
                coef=coefficients[i * n_vectors : (i + 1) * n_vectors].toarray(),
                intercept=np.array(row.intercept),
                objective=row.objective,
                duality_gap=row.duality_gap,
                iterations=row.iterations,
                seconds=row.seconds,
                converged=row.converged,
            )
            for i, row in enumerate(table.itertuples())
        ]
        own = ["alpha_max", "multi_class", "n_occurring", "classes", "intercept"]
        return cls(fits, table.drop(columns=own))


def columns_of_layers(features: AudioFeatures, layers: Sequence[int] | None) -> np.ndarray:
    """Indices of the audio features of these codec layers, ascending; None: of all.

    Raises
    ------
    InputError
        When a layer is not among those that are counted.
    """
    columns = np.arange(len(features))
    if layers is None:
        return columns
    check_layers(layers, features.layers)
    layer = features.first_layer + columns // features.codebook_size
    return columns[np.isin(layer, layers)]
