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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from tqdm import tqdm

from speechlasso.errors import InputError
from speechlasso.lasso.certificate import Certificate
from speechlasso.lasso.data import ClassWeight, MultiClass, TrainingData
from speechlasso.lasso.newton import ColumnStore, Iterate, proximal_newton
from speechlasso.lasso.problem import LogisticProblem, log_probabilities

logger = logging.getLogger(__name__)


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
    n_occurring: int
    """Features that are not zero in every row of the fit; no other feature can have weight."""
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
    data = TrainingData.checked(features, labels, class_weight, sample_weight, multi_class)
    return max(_steepest(Iterate.null(problem)) for problem in data.problems())


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
    start: LassoFit | None = None,
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
    start
        Fit of the same problem at another alpha, whose coefficients to start from.

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
        start=start,
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
    start: LassoFit | None = None,
) -> list[LassoFit]:
    """Fits along a grid of alphas, largest first, each started from the one before.

    Parameters
    ----------
    alphas
        The grid, in any order; by default `n_alphas` values in geometric progression from
        alpha_max down to alpha_max * `alpha_ratio`.
    features, labels, class_weight, sample_weight, multi_class, tolerance, max_iter, start
        As for `fit_lasso`.
    """
    data = TrainingData.checked(features, labels, class_weight, sample_weight, multi_class)
    problems = list(data.problems())
    iterates = [Iterate.null(problem) for problem in problems]
    largest = max(_steepest(iterate) for iterate in iterates)
    if alphas is None:
        if largest == 0.0:
            raise InputError("features: all are zero, so there is no path of coefficients to fit")
        alphas = np.geomspace(largest, largest * alpha_ratio, n_alphas)
    alphas = np.sort(np.asarray(alphas, dtype=np.float64))[::-1]
    if not (np.isfinite(alphas).all() and (alphas > 0).all()):
        raise InputError(f"alpha must be positive and finite, not {alphas.tolist()}")

    if start is not None:
        iterates = _iterates_of(start, data, problems)
    first = largest if start is None else start.alpha
    paths = [_solve_path(iterate, first, alphas, tolerance, max_iter) for iterate in iterates]
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
        probabilities = expit(scores)
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
    data = TrainingData.checked(features, labels, class_weight, sample_weight, "multinomial")
    (problem,) = data.problems()
    return Iterate.at(problem, coef, intercept).certificate(alpha)


def _steepest(iterate: Iterate) -> float:
    return float(iterate.dual_direction.steepness.max())


def _iterates_of(
    start: LassoFit, data: TrainingData, problems: list[LogisticProblem]
) -> list[Iterate]:
    if (
        start.coef.shape[1] != data.features.shape[1]
        or not np.array_equal(start.classes, data.classes)
        or start.multi_class != data.multi_class
    ):
        raise InputError("start: its features, classes or multi_class are not those of this fit")
    coefs = np.split(start.coef, len(problems))
    intercepts = np.split(start.intercept, len(problems))
    return [Iterate.at(*each) for each in zip(problems, coefs, intercepts, strict=True)]


@dataclass(frozen=True)
class _Solution:
    """One problem solved at one alpha."""

    coef: sp.csr_array
    """Sparse, since a path keeps many."""
    intercept: np.ndarray
    certificate: Certificate
    iterations: int
    seconds: float


def _solve_path(
    iterate: Iterate, previous: float, alphas: np.ndarray, tolerance: float, max_iter: int
) -> list[_Solution]:
    """Solutions at descending alphas, from the iterate of a `previous` alpha."""
    store, solutions = ColumnStore(iterate.problem.features), []
    shown = {"desc": "lasso", "unit": "alpha", "delay": 1, "disable": len(alphas) == 1}
    for alpha in tqdm(alphas.tolist(), **shown):
        begun, total = time.perf_counter(), 0
        for waypoint in _waypoints(previous, alpha):
            iterate, _, iterations = proximal_newton(iterate, waypoint, store, 0.1, max_iter)
            total += iterations
        iterate, certificate, iterations = proximal_newton(
            iterate, alpha, store, tolerance, max_iter
        )
        total += iterations
        seconds = time.perf_counter() - begun
        coef = sp.csr_array(iterate.coef.T)
        solutions.append(_Solution(coef, iterate.intercept, certificate, total, seconds))
        previous = alpha
    return solutions


def _waypoints(start: float, end: float) -> np.ndarray:
    """Alphas that divide a descent of more than a factor of 10, so that no Newton step overshoots
    to scores at which every row is certain and the gradient vanishes."""
    if end >= start:
        return np.empty(0)
    return np.geomspace(start, end, int(np.log10(start / end)) + 2)[1:-1]


def _joined(
    solutions: list[_Solution],
    alpha: float,
    largest_alpha: float,
    data: TrainingData,
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
        coef=sp.vstack([solution.coef for solution in solutions]).toarray(),
        intercept=np.concatenate([solution.intercept for solution in solutions]),
        n_occurring=data.n_occurring,
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
                "tolerance %.2e. It is not the optimum: raise max_iter or alpha.",
                fit.alpha,
                fit.duality_gap,
                fit.iterations,
                tolerance,
            )
