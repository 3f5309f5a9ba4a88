"""Compiled loops of the lasso solver: coordinate descent on the columns of a sparse matrix."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def curvatures(indptr, indices, data, columns, probabilities, weights, inverse):
    """Second derivatives of the loss along each coordinate, the intercepts following along.

    Returns (m, K, K) couplings of each coordinate with the K intercepts, the same multiplied by
    the `inverse` (K, K) of the intercepts' own Hessian, and the (m, K) curvatures left once the
    intercepts are minimised out.
    """
    n_classes = probabilities.shape[0]
    coupling = np.zeros((columns.size, n_classes, n_classes))
    response = np.zeros_like(coupling)
    curvature = np.zeros((columns.size, n_classes))
    for position in range(columns.size):
        start, stop = indptr[columns[position]], indptr[columns[position] + 1]
        for k in range(n_classes):
            square = 0.0
            for entry in range(start, stop):
                row = indices[entry]
                slope = data[entry] * weights[row] * probabilities[k, row]
                coupling[position, k, k] += slope
                square += slope * data[entry] * (1.0 - probabilities[k, row])
                for other in range(n_classes):
                    coupling[position, k, other] -= slope * probabilities[other, row]
            curvature[position, k] = square
            for a in range(n_classes):
                for b in range(n_classes):
                    response[position, k, a] += inverse[a, b] * coupling[position, k, b]
            for a in range(n_classes):
                curvature[position, k] -= coupling[position, k, a] * response[position, k, a]
            # A column that is constant up to rounding belongs to the intercept.
            if curvature[position, k] <= 1e-10 * square:
                curvature[position, k] = 0.0
    return coupling, response, curvature


@njit(cache=True)
def descend(
    indptr,
    indices,
    data,
    columns,
    probabilities,
    weights,
    coupling,
    response,
    curvature,
    alpha,
    tolerance,
    max_passes,
    residual,
    coef,
):
    n_classes = probabilities.shape[0]
    total = np.zeros(n_classes)
    for k in range(n_classes):
        total[k] = residual[k].sum()
    passes = 0
    only_active = False
    work = 0
    while passes < max_passes:
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
            start, stop = indptr[columns[position]], indptr[columns[position] + 1]
            work += stop - start
            for k in range(n_classes):
                bend = curvature[position, k]
                if bend == 0.0:
                    continue
                slope = 0.0
                u = residual[k]
                for entry in range(start, stop):
                    slope += data[entry] * u[indices[entry]]
                for a in range(n_classes):
                    slope -= response[position, k, a] * total[a]
                old = coef[position, k]
                goal = old * bend - slope
                if goal > alpha:
                    new = (goal - alpha) / bend
                elif goal < -alpha:
                    new = (goal + alpha) / bend
                else:
                    new = 0.0
                change = new - old
                if change == 0.0:
                    continue
                coef[position, k] = new
                largest = max(largest, abs(change) * bend)
                p_k = probabilities[k]
                for other in range(n_classes):
                    total[other] += coupling[position, k, other] * change
                    u = residual[other]
                    if other == k:
                        for entry in range(start, stop):
                            row = indices[entry]
                            u[row] += change * data[entry] * weights[row] * p_k[row] * (1.0 - p_k[row])
                    else:
                        p_o = probabilities[other]
                        for entry in range(start, stop):
                            row = indices[entry]
                            u[row] -= change * data[entry] * weights[row] * p_k[row] * p_o[row]
        if largest <= tolerance:
            if not only_active:
                break
            only_active = False
        else:
            only_active = True
    return passes, total, work


@njit(cache=True)
def scores_along(indptr, indices, data, columns, step, scores):
    for position in range(columns.size):
        for k in range(step.shape[1]):
            change = step[position, k]
            if change != 0.0:
                for entry in range(indptr[columns[position]], indptr[columns[position] + 1]):
                    scores[k, indices[entry]] += change * data[entry]
