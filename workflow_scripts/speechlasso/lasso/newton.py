"""Proximal Newton method with a working set for the lasso on sparse features.

Each iteration takes the gap of the current iterate and stops if that is small enough; else it
models the loss to second order in the coefficients of a working set (those not zero and those
whose gradient exceeds alpha), minimises model + penalty by coordinate descent, and goes along the
direction found as far as the objective falls. Sources: Lee, Sun and Saunders, "Proximal
Newton-type methods", SIAM J. Optim. 24 (2014); Friedman, Hastie and Tibshirani, J. Stat. Softw. 33
(2010) for coordinate descent on the quadratic model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from speechlasso.lasso.certificate import Certificate, DualDirection
from speechlasso.lasso.problem import LogisticProblem, log_probabilities

MODEL_REDUCTION = 0.1
"""Coordinate descent on a model ends when its steps are this much smaller than at first."""
MAX_SWEEPS = 1000
"""Limit of the sweeps of coordinate descent on one model."""
MAX_HALVINGS = 40
"""Limit of the step halvings along one direction."""


@dataclass(frozen=True)
class Iterate:
    """Coefficients (n_features, V), intercepts (V,) and the (V, n_rows) scores they give."""

    problem: LogisticProblem
    coef: np.ndarray
    intercept: np.ndarray
    scores: np.ndarray

    @classmethod
    def null(cls, problem: LogisticProblem) -> Iterate:
        """All coefficients zero and intercepts at their optimum."""
        n_rows, n_features = problem.features.shape
        intercept = problem.null_intercept()
        scores = np.repeat(intercept[:, None], n_rows, axis=1)
        return cls(problem, np.zeros((n_features, problem.n_vectors)), intercept, scores)

    @classmethod
    def at(cls, problem: LogisticProblem, coef: np.ndarray, intercept: np.ndarray) -> Iterate:
        """Given (V, n_features) coefficients and (V,) intercepts."""
        scores = np.ascontiguousarray((problem.features @ coef.T + intercept).T)
        return cls(problem, np.ascontiguousarray(coef.T), intercept, scores)

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        return log_probabilities(self.scores)

    @cached_property
    def dual_direction(self) -> DualDirection:
        """Does not depend on alpha: a warm start along a path of alphas reads it anew for free."""
        return DualDirection(self.problem, self.log_probabilities)

    def objective(self, alpha: float) -> float:
        return self.problem.loss(self.log_probabilities) + alpha * float(np.abs(self.coef).sum())

    def certificate(self, alpha: float) -> Certificate:
        return Certificate(self.objective(alpha), self.dual_direction.dual(alpha))


class ColumnStore:
    """Copies, compressed by column, of those features that coordinate descent has visited.

    Copying all columns of a large matrix takes longer than most fits, and few are ever visited.
    """

    def __init__(self, features: sp.csr_array | sp.csc_array) -> None:
        self._features = features
        self._held = np.empty(0, dtype=np.intp)
        self.columns = None

    def locate(self, wanted: np.ndarray, likely: np.ndarray) -> np.ndarray:
        """Places in `columns` of the `wanted` features; where one is missing, the `likely` ones
        are copied along with it. Both are ascending indices."""
        if self.columns is None or not np.isin(wanted, self._held, assume_unique=True).all():
            self._copy(np.union1d(wanted, likely))
        return np.searchsorted(self._held, wanted)

    def _copy(self, held: np.ndarray) -> None:
        from speechlasso.lasso.kernels import Columns

        self.columns = None
        n_features = self._features.shape[1]
        if 2 * held.size > n_features:
            held = np.arange(n_features)
            copied = sp.csc_array(self._features)
        else:
            copied = sp.csc_array(self._features[:, held])
        if not copied.has_canonical_format:
            copied = copied.copy()
            copied.sum_duplicates()
        self._held = held
        self.columns = Columns(
            copied.indptr.astype(np.int64), copied.indices.astype(np.int32, copy=False), copied.data
        )


def proximal_newton(
    start: Iterate, alpha: float, store: ColumnStore, tolerance: float, max_iter: int
) -> tuple[Iterate, Certificate, int]:
    """Minimise loss + alpha * ||coef||_1 until the relative duality gap is at most `tolerance`.

    Returns
    -------
    iterate, certificate, iterations
        The last iterate with its certificate, whose gap exceeds `tolerance` when `max_iter`
        Newton steps did not suffice or rounding allows none.
    """
    iterate, iterations = start, 0
    while True:
        certificate = iterate.certificate(alpha)
        if certificate.relative_gap <= tolerance or iterations == max_iter:
            return iterate, certificate, iterations
        following = _newton_step(iterate, alpha, store)
        if following is None:
            return iterate, certificate, iterations
        iterate, iterations = following, iterations + 1


def _newton_step(iterate: Iterate, alpha: float, store: ColumnStore) -> Iterate | None:
    """The next iterate; None where no step lowers the objective."""
    from speechlasso.lasso import kernels as lasso_kernels

    problem, steepness = iterate.problem, iterate.dual_direction.steepness
    support = iterate.coef.any(axis=1)
    working_set = np.flatnonzero(support | (steepness >= alpha))
    chosen = store.locate(working_set, likely=np.flatnonzero(support | (steepness >= alpha / 2)))

    probabilities = np.exp(iterate.log_probabilities)[-problem.n_vectors :]
    weighted = problem.weights * probabilities
    residual = weighted - problem.weights * problem.indicators[-problem.n_vectors :]
    inverse = _pseudo_inverse(_intercept_hessian(weighted, probabilities), problem.weights.sum())
    factors = _row_hessians(weighted, probabilities)
    vectors = tuple(range(problem.n_vectors))
    model = lasso_kernels.quadratic_model(store.columns, chosen, vectors, *factors, inverse)

    coef, by_row = iterate.coef[working_set], residual.T.copy()
    residual_sums = lasso_kernels.minimise_model(
        store.columns, chosen, model, alpha, by_row, coef, MODEL_REDUCTION, MAX_SWEEPS
    )
    step = np.zeros_like(iterate.coef)
    step[working_set] = coef - iterate.coef[working_set]
    intercept_step = -inverse @ residual_sums
    score_step = np.repeat(intercept_step[:, None], len(problem.labels), axis=1)
    lasso_kernels.add_products(store.columns, chosen, step[working_set], score_step)

    now = iterate.objective(alpha)
    promised = float((residual * score_step).sum()) + alpha * float(
        np.abs(iterate.coef + step).sum() - np.abs(iterate.coef).sum()
    )
    rounding = 1e-14 * abs(now)
    for length in 0.5 ** np.arange(MAX_HALVINGS):
        following = replace(
            iterate,
            coef=iterate.coef + length * step,
            intercept=iterate.intercept + length * intercept_step,
            scores=iterate.scores + length * score_step,
        )
        if following.objective(alpha) <= now + 0.01 * length * promised + rounding:
            return following
    return None


def _row_hessians(weighted: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors of each row's Hessian, by row, as `QuadraticModel` has them; from (V, n_rows)."""
    if len(probabilities) == 1:
        weighted = weighted * (1.0 - probabilities)
    return np.ascontiguousarray(weighted.T), np.ascontiguousarray(probabilities.T)


def _intercept_hessian(weighted: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Hessian of the loss in the intercepts, (V, V), from (V, n_rows)."""
    # Not a matrix product, whose sums depend on the number of threads.
    outer = np.einsum("vi,oi->vo", weighted, probabilities)
    return np.diag(weighted.sum(axis=1)) - outer


def _pseudo_inverse(hessian: np.ndarray, total_weight: float) -> np.ndarray:
    """Pseudo-inverse of the intercepts' Hessian, (V, V).

    It is singular where scores of all classes move together, and vanishes, in units of the total
    weight, where every row is classified with certainty.
    """
    curvatures, directions = np.linalg.eigh(hessian)
    kept = curvatures > 1e-14 * total_weight
    return (directions[:, kept] / curvatures[kept]) @ directions[:, kept].T
