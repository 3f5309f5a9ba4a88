"""Compiled loops of the lasso solver: coordinate descent over the columns of a sparse matrix."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(values, rows, vector):
    total = 0.0
    for entry in range(rows.size):
        total += values[entry] * vector[rows[entry]]
    return total


@njit(cache=True)
def _add(scale, values, rows, weights, vector):
    for entry in range(rows.size):
        row = rows[entry]
        vector[row] += scale * values[entry] * weights[row]


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dots(values, rows, vector):
    total = 0.0
    square = 0.0
    for entry in range(rows.size):
        product = values[entry] * vector[rows[entry]]
        total += product
        square += product * values[entry]
    return total, square


@njit(cache=True)
def curvatures(pointers, rows, values, columns, hessian, inverse):
    n_classes = hessian.shape[0]
    coupling = np.zeros((columns.size, n_classes, n_classes))
    response = np.zeros_like(coupling)
    curvature = np.zeros((columns.size, n_classes))
    for position in range(columns.size):
        entries = slice(pointers[columns[position]], pointers[columns[position] + 1])
        for k in range(n_classes):
            for l in range(n_classes):
                coupling[position, k, l], square = _dots(values[entries], rows[entries], hessian[k, l])
                if l == k:
                    full = square
            left = full
            for a in range(n_classes):
                for b in range(n_classes):
                    response[position, k, a] += inverse[a, b] * coupling[position, k, b]
                left -= coupling[position, k, a] * response[position, k, a]
            if left > 1e-10 * full:
                curvature[position, k] = left
    return coupling, response, curvature


@njit(cache=True)
def descend(pointers, rows, values, columns, hessian, coupling, response, curvature, alpha, reduction, max_passes, residual, coef):
    n_classes = hessian.shape[0]
    total = np.zeros(n_classes)
    for k in range(n_classes):
        total[k] = residual[k].sum()
    only_active = False
    work = 0
    tolerance = 0.0
    passes = 0
    for pas in range(max_passes):
        passes += 1
        largest = 0.0
        for position in range(columns.size):
            if only_active:
                active = False
                for k in range(n_classes):
                    if coef[position, k] != 0.0:
                        active = True
                if not active:
                    continue
            start, stop = pointers[columns[position]], pointers[columns[position] + 1]
            r = rows[start:stop]
            v = values[start:stop]
            work += stop - start
            for k in range(n_classes):
                bend = curvature[position, k]
                if bend == 0.0:
                    continue
                slope = _dot(v, r, residual[k])
                for a in range(n_classes):
                    slope -= response[position, k, a] * total[a]
                old = coef[position, k]
                goal = old * bend - slope
                new = np.sign(goal) * max(abs(goal) - alpha, 0.0) / bend
                change = new - old
                if change == 0.0:
                    continue
                coef[position, k] = new
                largest = max(largest, abs(change) * bend)
                for other in range(n_classes):
                    total[other] += coupling[position, k, other] * change
                    _add(change, v, r, hessian[k, other], residual[other])
        if pas == 0:
            tolerance = reduction * largest
        if largest <= tolerance:
            if not only_active:
                break
            only_active = False
        else:
            only_active = True
    return passes, total, work


@njit(cache=True)
def scores_along(pointers, rows, values, columns, step, scores):
    ones = np.ones(scores.shape[1])
    for position in range(columns.size):
        start, stop = pointers[columns[position]], pointers[columns[position] + 1]
        for k in range(step.shape[1]):
            if step[position, k] != 0.0:
                _add(step[position, k], values[start:stop], rows[start:stop], ones, scores[k])
