"""The compiled quadratic model against the dense one that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from speechlasso.lasso.kernels import Columns, minimise_model, quadratic_model
from speechlasso.lasso.newton import _intercept_hessian, _pseudo_inverse, _row_hessians

N_ROWS, N_COLUMNS, ALPHA = 40, 6, 2.0


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_its_minimum_is_that_of_the_dense_model(n_classes, seed):
    random = np.random.default_rng(seed)
    features = random.normal(size=(N_ROWS, N_COLUMNS)) * (random.random((N_ROWS, N_COLUMNS)) < 0.5)
    weights = random.uniform(0.2, 2, N_ROWS)
    n_vectors = 1 if n_classes == 2 else n_classes
    probabilities = random.dirichlet(np.ones(n_classes), N_ROWS)[:, -n_vectors:]
    eye = np.eye(n_vectors)
    hessians = weights[:, None, None] * (
        probabilities[:, :, None] * eye - probabilities[:, :, None] * probabilities[:, None, :]
    )
    start = random.normal(size=(N_ROWS, n_vectors))
    start -= start.mean(axis=0)
    if n_vectors > 1:
        # As residuals do, those of a row sum to zero.
        start -= start.mean(axis=1, keepdims=True)

    weighted = (weights[:, None] * probabilities).T
    inverse = _pseudo_inverse(_intercept_hessian(weighted, probabilities.T), weights.sum())
    np.testing.assert_allclose(inverse, np.linalg.pinv(hessians.sum(axis=0)), atol=1e-12)
    by_column = sp.csc_array(features)
    columns = Columns(
        by_column.indptr.astype(np.int64), by_column.indices.astype(np.int32), by_column.data
    )
    chosen = np.arange(N_COLUMNS)
    factors = _row_hessians(weighted, probabilities.T)
    model = quadratic_model(columns, chosen, tuple(range(n_vectors)), *factors, inverse)
    coef, residual = np.zeros((N_COLUMNS, n_vectors)), start.copy()
    sums = minimise_model(columns, chosen, model, ALPHA, residual, coef, 1e-12, 10_000)

    moved = np.einsum("rvo,ro->rv", hessians, features @ coef)
    np.testing.assert_allclose(residual, start + moved, atol=1e-10)
    np.testing.assert_allclose(sums, residual.sum(axis=0), atol=1e-10)
    gradient = features.T @ (residual - hessians @ (inverse @ sums))
    has_weight = coef != 0
    assert has_weight.any()
    np.testing.assert_allclose(gradient[has_weight], -ALPHA * np.sign(coef[has_weight]), atol=1e-8)
    assert (np.abs(gradient[~has_weight]) <= ALPHA + 1e-8).all()
