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

    With V vectors of coefficients and m columns. The model's unpenalised intercepts are minimised
    out: they follow every move of a coefficient, which is the same as centring each column by its
    curvature-weighted mean, without making it dense.
    """

    hessian: np.ndarray
    """Of the loss of each row in its scores, (V, V, n_rows)."""
    coupling: np.ndarray
    """Of each coefficient with the intercepts, (m, V, V)."""
    response: np.ndarray
    """Change of the intercepts, sign reversed, per unit of a coefficient, (m, V, V)."""
    curvature: np.ndarray
    """Second derivative along each coefficient, intercepts following, (m, V)."""


def _compiled(**options: Any) -> Callable[[Callable], Callable]:
    def compiled(function: Callable) -> Callable:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            # Neither beside this file nor in the user's cache: each process compiles for itself.
            return njit(**options)(function)

    return compiled


@_compiled(fastmath={"reassoc", "contract"})
def _weighted_moments(values, rows, weights):
    first = 0.0
    second = 0.0
    for entry in range(rows.size):
        weighted = values[entry] * weights[rows[entry]]
        first += weighted
        second += weighted * values[entry]
    return first, second


@_compiled(fastmath={"reassoc", "contract"})
def _dot(values, rows, vector):
    total = 0.0
    for entry in range(rows.size):
        total += values[entry] * vector[rows[entry]]
    return total


@_compiled()
def _add(scale, values, rows, weights, vector):
    for entry in range(rows.size):
        row = rows[entry]
        vector[row] += scale * values[entry] * weights[row]


@_compiled()
def quadratic_model(columns, chosen, hessian, intercept_inverse):
    """Model of the loss in the coefficients of the `chosen` columns.

    Parameters
    ----------
    columns
        `Columns`.
    chosen
        Positions of the m columns, int64, (m,).
    hessian
        As in `QuadraticModel`.
    intercept_inverse
        Pseudo-inverse of the Hessian in the intercepts, (V, V).
    """
    n_vectors = hessian.shape[0]
    coupling = np.zeros((chosen.size, n_vectors, n_vectors))
    response = np.zeros((chosen.size, n_vectors, n_vectors))
    curvature = np.zeros((chosen.size, n_vectors))
    for place, column in enumerate(chosen):
        entries = slice(columns.pointers[column], columns.pointers[column + 1])
        values, rows = columns.values[entries], columns.rows[entries]
        for v in range(n_vectors):
            second = 0.0
            for other in range(n_vectors):
                first, moment = _weighted_moments(values, rows, hessian[v, other])
                coupling[place, v, other] = first
                if other == v:
                    second = moment
            centred = second
            for a in range(n_vectors):
                for b in range(n_vectors):
                    response[place, v, a] += intercept_inverse[a, b] * coupling[place, v, b]
                centred -= coupling[place, v, a] * response[place, v, a]
            # Below rounding the column is constant on the rows that still matter.
            if centred > 1e-10 * second:
                curvature[place, v] = centred
    return QuadraticModel(hessian, coupling, response, curvature)


@_compiled()
def _sweep(columns, chosen, model, alpha, residual, residual_sums, coef, only_support):
    """Minimise the penalised model along each coefficient in turn; return the largest step, in
    units of the gradient."""
    n_vectors = coef.shape[1]
    largest = 0.0
    for place, column in enumerate(chosen):
        if only_support and not coef[place].any():
            continue
        entries = slice(columns.pointers[column], columns.pointers[column + 1])
        values, rows = columns.values[entries], columns.rows[entries]
        for v in range(n_vectors):
            curvature = model.curvature[place, v]
            slope = _dot(values, rows, residual[v])
            for a in range(n_vectors):
                slope -= model.response[place, v, a] * residual_sums[a]
            old = coef[place, v]
            pull = old * curvature - slope
            if abs(pull) <= alpha:
                new = 0.0
            elif curvature > 0.0:
                new = (pull - np.sign(pull) * alpha) / curvature
            else:
                new = old
            if new == old:
                continue
            coef[place, v] = new
            largest = max(largest, abs(new - old) * curvature)
            for other in range(n_vectors):
                residual_sums[other] += (new - old) * model.coupling[place, v, other]
                _add(new - old, values, rows, model.hessian[v, other], residual[other])
    return largest


@_compiled()
def minimise_model(columns, chosen, model, alpha, residual, coef, reduction, max_sweeps):
    """Cyclic coordinate descent on model + alpha * |coef|, until steps are `reduction` times as
    large as in the first sweep.

    `coef` (m, V) and `residual` (V, n_rows), the gradient of the model in the scores without the
    intercepts' part, are updated in place. Returns the sums over rows of `residual`, (V,).
    """
    residual_sums = np.zeros(coef.shape[1])
    for v in range(coef.shape[1]):
        residual_sums[v] = residual[v].sum()
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
    ones = np.ones(scores.shape[1])
    for place, column in enumerate(chosen):
        entries = slice(columns.pointers[column], columns.pointers[column + 1])
        for v in range(coef.shape[1]):
            if coef[place, v] != 0.0:
                _add(
                    coef[place, v],
                    columns.values[entries],
                    columns.rows[entries],
                    ones,
                    scores[v],
                )
