"""Lasso: L1-penalised logistic regression on sparse features, with a certificate of optimality.

The objective is that of scikit-learn divided by its C, alpha = 1 / C:

    sum_i w_i loss(y_i, x_i W + b) + alpha * sum |W|,

with the logistic loss for two classes and the multinomial (softmax) loss for more, and intercepts b
without penalty. A fit ends when its duality gap proves that no other coefficients are better by
more than the tolerance; a fit that does not get there says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.errors import InputError
from speechlasso.lasso_certificate import Certificate, DualDirection
from speechlasso.lasso_newton import ColumnStore, Iterate, proximal_newton
from speechlasso.lasso_problem import LogisticProblem, log_probabilities

logger = logging.getLogger(__name__)

MultiClass = Literal["multinomial", "one_vs_rest"]
ClassWeight = Literal["balanced"] | None


@dataclass(frozen=True)
class LassoFit:
    """A fitted lasso and the evidence that it is optimal.

    K is the number of classes. Two classes, and each of the problems of one_vs_rest, have one
    coefficient vector, for the second class against the first (for the class against the rest).
    """

    alpha: float
    alpha_max: float
    """Smallest alpha at which all coefficients are zero."""
    classes: np.ndarray
    """Labels, ascending, (K,)."""
    multi_class: MultiClass
    coef: np.ndarray
    """float64, (1, n_features) for two classes, else (K, n_features)."""
    intercept: np.ndarray
    """float64, (1,) or (K,)."""
    objective: float
    """Weighted loss + alpha * sum |coef|; for one_vs_rest the sum over its problems."""
    duality_gap: float
    """(objective - dual bound) / objective: no coefficients lower the objective by more."""
    iterations: int
    """Newton steps taken from the warm start."""
    seconds: float
    converged: bool
    """Whether `duality_gap` is at most the tolerance."""

    @property
    def importance(self) -> np.ndarray:
        """Sum over vectors of absolute coefficients, (n_features,)."""
        return np.abs(self.coef).sum(axis=0)


def alpha_max(
    features: sp.sparray | sp.spmatrix | np.ndarray,
    labels: Sequence,
    *,
    class_weight: ClassWeight = "balanced",
    sample_weight: np.ndarray | None = None,
    multi_class: MultiClass = "multinomial",
) -> float:
    """Smallest alpha at which all coefficients are zero; parameters as for `fit_lasso`."""
    data = _TrainingData.checked(features, labels, class_weight, sample_weight, multi_class)
    return max(_null_alpha(problem) for problem in data.problems())


def fit_lasso(
    features: sp.sparray | sp.spmatrix | np.ndarray,
    labels: Sequence,
    alpha: float,
    *,
    class_weight: ClassWeight = "balanced",
    sample_weight: np.ndarray | None = None,
    multi_class: MultiClass = "multinomial",
    tolerance: float = 1e-4,
    max_iter: int = 200,
) -> LassoFit:
    """Fit an L1-penalised logistic regression, certified by its duality gap.

    Parameters
    ----------
    features
        (n_rows, n_features), sparse (by row or by column, float64 avoids a copy) or dense.
    labels
        Class of each row, of any sortable type, (n_rows,).
    alpha
        Strength of the penalty, 1 / C of scikit-learn.
    class_weight
        "balanced" weighs each row by n_rows / (K * rows of its class), counting rows by their
        sample weights; with one_vs_rest each problem is balanced by itself, K being 2.
    sample_weight
        Weight of each row, not negative, (n_rows,); by default 1.
    multi_class
        What to do with more than two classes: one multinomial model, or one model for each class
        against the rest.
    tolerance
        Relative duality gap to reach.
    max_iter
        Limit of the Newton steps.

    Raises
    ------
    InputError
        When the data cannot be fitted: wrong shapes, values that are not finite, one class only.
    """
    (fit,) = lasso_path(
        features,
        labels,
        [alpha],
        class_weight=class_weight,
        sample_weight=sample_weight,
        multi_class=multi_class,
        tolerance=tolerance,
        max_iter=max_iter,
    )
    return fit


def lasso_path(
    features: sp.sparray | sp.spmatrix | np.ndarray,
    labels: Sequence,
    alphas: Sequence[float] | None = None,
    *,
    n_alphas: int = 50,
    alpha_ratio: float = 0.01,
    class_weight: ClassWeight = "balanced",
    sample_weight: np.ndarray | None = None,
    multi_class: MultiClass = "multinomial",
    tolerance: float = 1e-4,
    max_iter: int = 200,
) -> list[LassoFit]:
    """Fits along a grid of alphas, largest first, each started from the one before.

    Parameters
    ----------
    alphas
        The grid, in any order; by default `n_alphas` values in geometric progression from
        alpha_max down to alpha_max * `alpha_ratio`.
    features, labels, class_weight, sample_weight, multi_class, tolerance, max_iter
        As for `fit_lasso`.
    """
    data = _TrainingData.checked(features, labels, class_weight, sample_weight, multi_class)
    largest = max(_null_alpha(problem) for problem in data.problems())
    if alphas is None:
        if largest == 0.0:
            raise InputError("features: all are zero, so there is no path of coefficients to fit")
        alphas = np.geomspace(largest, largest * alpha_ratio, n_alphas)
    alphas = np.sort(np.asarray(alphas, dtype=np.float64))[::-1]
    if not (np.isfinite(alphas).all() and (alphas > 0).all()):
        raise InputError(f"alpha must be positive and finite, not {alphas.tolist()}")

    paths = [
        _solve_path(problem, alphas, tolerance, max_iter) for problem in data.problems()
    ]
    fits = [
        _joined(solutions, alpha, largest, data, tolerance)
        for alpha, *solutions in zip(alphas.tolist(), *paths, strict=True)
    ]
    _warn_of_open_gaps(fits, tolerance)
    return fits


def predict_probabilities(
    fit: LassoFit, features: sp.sparray | sp.spmatrix | np.ndarray
) -> np.ndarray:
    """Class probabilities, (n_rows, K); those of one_vs_rest are normalised to sum to one."""
    scores = (features @ fit.coef.T + fit.intercept).T
    if fit.multi_class == "one_vs_rest" and len(scores) > 1:
        logits = np.stack([log_probabilities(score[None])[1] for score in scores])
        probabilities = np.exp(logits - logits.max(axis=0))
        return (probabilities / probabilities.sum(axis=0)).T
    return np.exp(log_probabilities(scores)).T


def certify(
    features: sp.sparray | sp.spmatrix | np.ndarray,
    labels: Sequence,
    alpha: float,
    coef: np.ndarray,
    intercept: np.ndarray,
    *,
    class_weight: ClassWeight = "balanced",
    sample_weight: np.ndarray | None = None,
) -> Certificate:
    """Objective and dual bound of any coefficients, whoever fitted them.

    Parameters
    ----------
    coef, intercept
        (1, n_features) and (1,) for two classes, (K, n_features) and (K,) for more.
    features, labels, alpha, class_weight, sample_weight
        As for `fit_lasso`, with multi_class "multinomial".
    """
    data = _TrainingData.checked(features, labels, class_weight, sample_weight, "multinomial")
    (problem,) = data.problems()
    scores = np.ascontiguousarray((problem.features @ coef.T + intercept).T)
    return Iterate(problem, np.ascontiguousarray(coef.T), intercept, scores).certificate(alpha)


@dataclass(frozen=True)
class _TrainingData:
    """Checked input: one problem, or for one_vs_rest with more than two classes one for each."""

    features: sp.csr_array | sp.csc_array
    classes: np.ndarray
    labels: np.ndarray
    sample_weight: np.ndarray
    class_weight: ClassWeight
    multi_class: MultiClass

    @classmethod
    def checked(cls, features, labels, class_weight, sample_weight, multi_class) -> _TrainingData:
        features = _by_row_or_column(features)
        labels = np.asarray(labels)
        n_rows = features.shape[0]
        weights = np.ones(n_rows) if sample_weight is None else np.asarray(sample_weight, float)
        problems = []
        if class_weight not in ("balanced", None):
            problems.append(f"class_weight: expected 'balanced' or None, got {class_weight!r}")
        if multi_class not in ("multinomial", "one_vs_rest"):
            problems.append(
                f"multi_class: expected 'multinomial' or 'one_vs_rest', got {multi_class!r}"
            )
        if not np.isfinite(features.data).all():
            rows = np.unique(features.tocoo().row[~np.isfinite(features.tocoo().data)])
            problems.append(f"features: values that are not finite in rows {_listed(rows)}")
        if labels.shape != (n_rows,):
            problems.append(f"labels: expected shape ({n_rows},), got {labels.shape}")
        elif pd.isna(labels).any():
            problems.append(f"labels: missing in rows {_listed(np.flatnonzero(pd.isna(labels)))}")
        if weights.shape != (n_rows,):
            problems.append(f"sample_weight: expected shape ({n_rows},), got {weights.shape}")
        elif not (np.isfinite(weights) & (weights >= 0)).all():
            rows = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
            problems.append(f"sample_weight: negative or not finite in rows {_listed(rows)}")
        if not problems:
            classes, codes = np.unique(labels, return_inverse=True)
            if classes.size < 2:
                problems.append(f"labels: expected two classes or more, got {classes.tolist()}")
            elif not np.bincount(codes, weights).all():
                empty = classes[np.bincount(codes, weights) == 0].tolist()
                problems.append(f"sample_weight: zero for every row of {empty}")
        if problems:
            raise InputError.listing("the lasso cannot be fitted:", problems)
        return cls(features, classes, codes, weights, class_weight, multi_class)

    def problems(self) -> Iterator[LogisticProblem]:
        n_classes = len(self.classes)
        if self.multi_class == "multinomial" or n_classes == 2:
            yield self._problem(self.labels, n_classes)
        else:
            for label in range(n_classes):
                yield self._problem((self.labels == label).astype(np.intp), 2)

    def _problem(self, labels: np.ndarray, n_classes: int) -> LogisticProblem:
        weights = self.sample_weight
        if self.class_weight == "balanced":
            class_totals = np.bincount(labels, weights)
            weights = weights * (weights.sum() / (n_classes * class_totals))[labels]
        return LogisticProblem(self.features, labels, weights, n_classes)


def _by_row_or_column(features) -> sp.csr_array | sp.csc_array:
    compressed = sp.csc_array if sp.issparse(features) and features.format == "csc" else sp.csr_array
    return compressed(features, dtype=np.float64)


def _listed(rows: np.ndarray) -> str:
    more = f" and {rows.size - 10} more" if rows.size > 10 else ""
    return ", ".join(map(str, rows[:10].tolist())) + more


def _null_alpha(problem: LogisticProblem) -> float:
    return float(Iterate.null(problem).dual_direction.steepness.max())


@dataclass(frozen=True)
class _Solution:
    """One problem solved at one alpha."""

    coef: np.ndarray
    intercept: np.ndarray
    certificate: Certificate
    iterations: int
    seconds: float


def _solve_path(
    problem: LogisticProblem, alphas: np.ndarray, tolerance: float, max_iter: int
) -> list[_Solution]:
    iterate, store, solutions = Iterate.null(problem), ColumnStore(problem.features), []
    for alpha in alphas.tolist():
        begun = time.perf_counter()
        iterate, certificate, iterations = proximal_newton(
            iterate, alpha, store, tolerance, max_iter
        )
        seconds = time.perf_counter() - begun
        solutions.append(
            _Solution(iterate.coef.T, iterate.intercept, certificate, iterations, seconds)
        )
    return solutions


def _joined(
    solutions: list[_Solution],
    alpha: float,
    largest_alpha: float,
    data: _TrainingData,
    tolerance: float,
) -> LassoFit:
    certificate = Certificate(
        sum(solution.certificate.primal for solution in solutions),
        sum(solution.certificate.dual for solution in solutions),
    )
    return LassoFit(
        alpha=alpha,
        alpha_max=largest_alpha,
        classes=data.classes,
        multi_class=data.multi_class,
        coef=np.vstack([solution.coef for solution in solutions]),
        intercept=np.concatenate([solution.intercept for solution in solutions]),
        objective=certificate.primal,
        duality_gap=certificate.relative_gap,
        iterations=sum(solution.iterations for solution in solutions),
        seconds=sum(solution.seconds for solution in solutions),
        converged=certificate.relative_gap <= tolerance,
    )


def _warn_of_open_gaps(fits: list[LassoFit], tolerance: float) -> None:
    for fit in fits:
        if not fit.converged:
            logger.warning(
                "LASSO NOT CONVERGED at alpha=%g: relative duality gap %.2e after %d iterations, "
                "tolerance %.2e. Its selection is not that of the optimum; raise max_iter or alpha.",
                fit.alpha,
                fit.duality_gap,
                fit.iterations,
                tolerance,
            )
