"""Compiled loops of the lasso solver: coordinate descent over the columns of a sparse matrix.

Importing this module imports numba; the functions are compiled once and cached on disk, where some
folder takes them. All run in one thread and in a fixed order, so that equal input gives equal
bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit


class Columns(NamedTuple):
    """Compressed sparse columns: column j holds `values[pointers[j] : pointers[j + 1]]`."""

    pointers: np.ndarray
    """int64, (n_columns + 1,)"""
    rows: np.ndarray
    """int32, (n_entries,)"""
    values: np.ndarray
    """float64, (n_entries,)"""


class QuadraticModel(NamedTuple):
    """Second-order model of the loss around an iterate, in the coefficients of some columns.

    With V vectors of coefficients and m columns. The Hessian of a row's loss in its scores is
    w (diag(p) - p p'), with the row's weight w and the probabilities p of the V classes. It is kept
    as these factors, not as V x V numbers for each row. The model's unpenalised intercepts are
    minimised out: they follow every move of a coefficient, which is the same as centring each
    column by its curvature-weighted mean, without making it dense.

    Arrays over rows have the rows first, so that all vectors of a row are read at once.
    """

    vectors: tuple[int, ...]
    """0 to V - 1. The compiler knows the length of a tuple and unrolls the loops over it."""
    weighted: np.ndarray
    """w p, (n_rows, V); of a single vector the whole Hessian, w p (1 - p), (n_rows, 1)."""
    probabilities: np.ndarray
    """p, (n_rows, V); not read for a single vector."""
    coupling: np.ndarray
    """Of each coefficient with the intercepts, (m, V, V)."""
    response: np.ndarray
    """Change of the intercepts, sign reversed, per unit of a coefficient, (m, V, V)."""
    curvature: np.ndarray
    """Second derivatives in the V coefficients of each column, intercepts following, (m, V, V); 0
    on the diagonal where it is below rounding."""


def _compiled(**options: Any) -> Callable[[Callable], Callable]:
    def compiled(function: Callable) -> Callable:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            # Neither beside this file nor in the user's cache: each process compiles for itself.
            return njit(**options)(function)

    return compiled


@_compiled(fastmath={"reassoc", "contract"})
def _weighted_moments(values, rows, vectors, weighted, probabilities, first, second):
    """Sums over a column's entries of value and squared value times the Hessian of the row, (V, V)
    each."""
    n_vectors = len(vectors)
    first[:] = 0.0
    second[:] = 0.0
    for entry in range(rows.size):
        row, value = rows[entry], values[entry]
        for v in range(n_vectors):
            product = value * weighted[row, v]
            first[v, v] += product
            second[v, v] += product * value
            if n_vectors > 1:
                for other in range(n_vectors):
                    both = product * probabilities[row, other]
                    first[v, other] -= both
                    second[v, other] -= both * value


@_compiled(fastmath={"reassoc", "contract"})
def _products(values, rows, vectors, residual, products):
    """A column times the residuals of each vector, (V,)."""
    products[:] = 0.0
    for entry in range(rows.size):
        row, value = rows[entry], values[entry]
        for v in range(len(vectors)):
            products[v] += value * residual[row, v]


@_compiled()
def _add_step(step, values, rows, model, residual):
    """Add the Hessian times a column's `step` (V,) to the residuals."""
    n_vectors, weighted, probabilities = len(model.vectors), model.weighted, model.probabilities
    for entry in range(rows.size):
        row, value = rows[entry], values[entry]
        mean = 0.0
        if n_vectors > 1:
            for v in range(n_vectors):
                mean += probabilities[row, v] * step[v]
        for v in range(n_vectors):
            residual[row, v] += value * weighted[row, v] * (step[v] - mean)


@_compiled()
def quadratic_model(columns, chosen, vectors, weighted, probabilities, intercept_inverse):
    """Model of the loss in the coefficients of the `chosen` columns.

    Parameters
    ----------
    columns
        `Columns`.
    chosen
        Positions of the m columns, int64, (m,).
    vectors, weighted, probabilities
        As in `QuadraticModel`.
    intercept_inverse
        Pseudo-inverse of the Hessian in the intercepts, (V, V).
    """
    n_vectors = len(vectors)
    coupling = np.zeros((chosen.size, n_vectors, n_vectors))
    response = np.zeros((chosen.size, n_vectors, n_vectors))
    curvature = np.zeros((chosen.size, n_vectors, n_vectors))
    second = np.zeros((n_vectors, n_vectors))
    for place, column in enumerate(chosen):
        entries = slice(columns.pointers[column], columns.pointers[column + 1])
        values, rows = columns.values[entries], columns.rows[entries]
        _weighted_moments(values, rows, vectors, weighted, probabilities, coupling[place], second)
        for v in range(n_vectors):
            for a in range(n_vectors):
                for b in range(n_vectors):
                    response[place, v, a] += intercept_inverse[a, b] * coupling[place, v, b]
        for v in range(n_vectors):
            for other in range(n_vectors):
                centred = second[v, other]
                for a in range(n_vectors):
                    centred -= coupling[place, other, a] * response[place, v, a]
                curvature[place, v, other] = centred
            # Below rounding the column is constant on the rows that still matter.
            if curvature[place, v, v] <= 1e-10 * second[v, v]:
                curvature[place, v, v] = 0.0
    return QuadraticModel(vectors, weighted, probabilities, coupling, response, curvature)


@_compiled()
def _sweep(columns, chosen, model, alpha, residual, residual_sums, coef, only_support):
    """Minimise the penalised model along each coefficient in turn; return the largest step, in
    units of the gradient."""
    n_vectors = coef.shape[1]
    slopes, step = np.empty(n_vectors), np.empty(n_vectors)
    largest = 0.0
    for place, column in enumerate(chosen):
        if only_support and not coef[place].any():
            continue
        entries = slice(columns.pointers[column], columns.pointers[column + 1])
        values, rows = columns.values[entries], columns.rows[entries]
        _products(values, rows, model.vectors, residual, slopes)
        for v in range(n_vectors):
            for a in range(n_vectors):
                slopes[v] -= model.response[place, v, a] * residual_sums[a]
        step[:] = 0.0
        for v in range(n_vectors):
            curvature = model.curvature[place, v, v]
            old = coef[place, v]
            pull = old * curvature - slopes[v]
            if abs(pull) <= alpha:
                new = 0.0
            elif curvature > 0.0:
                new = (pull - np.sign(pull) * alpha) / curvature
            else:
                new = old
            if new == old:
                continue
            coef[place, v] = new
            step[v] = new - old
            largest = max(largest, abs(step[v]) * curvature)
            for other in range(n_vectors):
                slopes[other] += step[v] * model.curvature[place, v, other]
                residual_sums[other] += step[v] * model.coupling[place, v, other]
        if step.any():
            _add_step(step, values, rows, model, residual)
    return largest


@_compiled()
def minimise_model(columns, chosen, model, alpha, residual, coef, reduction, max_sweeps):
    """Cyclic coordinate descent on model + alpha * |coef|, until steps are `reduction` times as
    large as in the first sweep.

    `coef` (m, V) and `residual` (n_rows, V), the gradient of the model in the scores without the
    intercepts' part, are updated in place. Returns the sums over rows of `residual`, (V,).
    """
    residual_sums = np.zeros(coef.shape[1])
    for v in range(coef.shape[1]):
        residual_sums[v] = residual[:, v].sum()
    arguments = (columns, chosen, model, alpha, residual, residual_sums, coef)
    target = reduction * _sweep(*arguments, False)
    sweeps = 1
    while sweeps < max_sweeps:
        # Most steps of a full sweep leave a zero at zero: settle the others first.
        while sweeps < max_sweeps:
            sweeps += 1
            if _sweep(*arguments, True) <= target:
                break
        sweeps += 1
        if _sweep(*arguments, False) <= target:
            break
    return residual_sums


@_compiled()
def add_products(columns, chosen, coef, scores):
    """Add the chosen columns times `coef` (m, V) to `scores` (V, n_rows), in place."""
    for place, column in enumerate(chosen):
        for v in range(coef.shape[1]):
            if coef[place, v] == 0.0:
                continue
            for entry in range(columns.pointers[column], columns.pointers[column + 1]):
                scores[v, columns.rows[entry]] += coef[place, v] * columns.values[entry]
