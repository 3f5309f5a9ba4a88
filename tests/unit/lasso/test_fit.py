"""The lasso against scikit-learn, its optimality conditions and its certificate."""

from __future__ import annotations

import logging
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_lasso import (
    FIELDS,
    counts_and_labels,
    independent_gap,
    largest_violation,
    objective,
    row_weights,
    scikit_learn,
)
from sklearn.linear_model import LogisticRegression

from speechlasso.errors import InputError
from speechlasso.lasso.certificate import stationary_measure
from speechlasso.lasso.fit import alpha_max, certify, fit_lasso, lasso_path, predict_probabilities


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("class_weight", ["balanced", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(n_classes, class_weight, weighted):
    features, labels = counts_and_labels(1, n_classes=n_classes)
    sample_weight = np.random.default_rng(2).uniform(0.2, 3.0, len(labels)) if weighted else None
    options = {"class_weight": class_weight, "sample_weight": sample_weight}
    alpha = alpha_max(features, labels, **options) / 4
    fit = fit_lasso(features, labels, alpha, tolerance=1e-10, **options)
    reference = scikit_learn(features, labels, alpha, **options)

    weights = row_weights(labels, **options)
    problem = (features, labels, weights, alpha)
    assert fit.converged
    assert fit.objective == pytest.approx(objective(*problem, fit.coef, fit.intercept), rel=1e-12)
    assert fit.objective == pytest.approx(
        objective(*problem, reference.coef_, reference.intercept_), rel=1e-8
    )
    np.testing.assert_allclose(fit.coef, reference.coef_, atol=2e-4)
    np.testing.assert_allclose(
        fit.intercept - fit.intercept[0],
        reference.intercept_ - reference.intercept_[0],
        atol=2e-3,
    )
    assert largest_violation(*problem, fit.coef, fit.intercept) < 1e-4
    np.testing.assert_allclose(
        predict_probabilities(fit, features), reference.predict_proba(features.toarray()), atol=1e-3
    )


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_gap_is_verified_independently(n_classes, tolerance):
    features, labels = counts_and_labels(3, 150, 60, n_classes)
    alpha = alpha_max(features, labels) / 10
    fit = fit_lasso(features, labels, alpha, tolerance=tolerance)
    primal, dual = independent_gap(
        features, labels, row_weights(labels), alpha, fit.coef, fit.intercept
    )
    assert fit.objective == pytest.approx(primal, rel=1e-12)
    assert fit.converged and 0 <= fit.duality_gap <= tolerance
    assert (primal - dual) / primal == pytest.approx(fit.duality_gap, rel=1e-4, abs=1e-12)
    best = fit_lasso(features, labels, alpha, tolerance=1e-10).objective
    assert dual <= best * (1 + 1e-12)
    assert fit.objective * (1 - fit.duality_gap) <= best <= fit.objective * (1 + 1e-12)


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 5), size=st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_dual_bounds_the_optimum_whatever_the_coefficients(seed, n_classes, size):
    features, labels = counts_and_labels(seed, 40, 12, n_classes)
    rng = np.random.default_rng(seed)
    n_vectors = 1 if n_classes == 2 else n_classes
    coef = size * rng.normal(size=(n_vectors, 12)) * (rng.random((n_vectors, 12)) < 0.5)
    intercept = size * rng.normal(size=n_vectors)
    alpha = alpha_max(features, labels) * 0.2
    optimum = fit_lasso(features, labels, alpha, tolerance=1e-9)
    certificate = certify(features, labels, alpha, coef, intercept)
    weights = row_weights(labels)
    assert certificate.primal == pytest.approx(
        objective(features, labels, weights, alpha, coef, intercept)
    )
    assert 0 <= certificate.dual <= optimum.objective * (1 + 1e-12)
    assert optimum.objective <= certificate.primal * (1 + 1e-12)


@given(seed=st.integers(0, 10_000), size=st.integers(2, 6))
@settings(max_examples=100, deadline=None)
def test_stationary_measure_balances_the_flow(seed, size):
    rng = np.random.default_rng(seed)
    flow = np.exp(rng.normal(0, 5, (size, size)))
    measure = stationary_measure(flow)
    np.fill_diagonal(flow, 0.0)
    assert measure.max() == 1 and (measure > 0).all()
    np.testing.assert_allclose(measure * flow.sum(axis=1), measure @ flow, rtol=1e-10)


def test_stationary_measure_without_flow_is_zero():
    assert not stationary_measure(np.zeros((3, 3))).any()


@st.composite
def awkward_problems(draw):
    """Small problems with empty, constant, duplicate and badly scaled columns, classes of one
    row, and labels that a linear rule separates perfectly."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows, n_features = draw(st.integers(4, 40)), draw(st.integers(1, 50))
    n_classes = draw(st.integers(2, 4))
    density = draw(st.sampled_from([0.05, 0.3, 1.0]))
    values = rng.poisson(3.0, (n_rows, n_features)) * (rng.random((n_rows, n_features)) < density)
    values = values * draw(st.sampled_from([0.01, 1.0, 100.0]))
    extras = draw(st.sets(st.sampled_from(["empty", "constant", "duplicate", "scaled"])))
    if "empty" in extras:
        values[:, 0] = 0.0
    if "scaled" in extras:
        values = values * np.exp(rng.normal(0, 2, n_features))
    if "constant" in extras:
        values = np.hstack([values, np.full((n_rows, 1), 2.0)])
    if "duplicate" in extras:
        values = np.hstack([values, values[:, :2], -values[:, :1]])
    kind = draw(st.sampled_from(["random", "separable", "one row of each other class"]))
    labels = rng.integers(n_classes, size=n_rows)
    if kind == "separable":
        score = values @ rng.normal(size=values.shape[1])
        labels = np.searchsorted(np.quantile(score, [0.3, 0.7][: n_classes - 1]), score)
    elif kind == "one row of each other class":
        labels = np.zeros(n_rows, dtype=int)
    labels[:n_classes] = np.arange(n_classes)
    return sp.csr_array(values), labels


@pytest.mark.slow
@given(
    problem=awkward_problems(),
    ratio=st.sampled_from([1.5, 0.5, 0.1, 0.01, 1e-3]),
    multi_class=st.sampled_from(["multinomial", "one_vs_rest"]),
)
@settings(max_examples=150, deadline=None)
def test_awkward_problems_reach_the_gap(problem, ratio, multi_class):
    features, labels = problem
    largest = alpha_max(features, labels, multi_class=multi_class)
    # Features that do not tell the classes apart have an alpha_max of zero up to rounding.
    alpha = max(largest * ratio, 1e-6)
    fit = fit_lasso(features, labels, alpha, multi_class=multi_class)
    assert fit.converged and fit.duality_gap <= 1e-4
    assert np.isfinite(fit.coef).all() and np.isfinite(fit.intercept).all()
    if ratio > 1:
        assert not fit.coef.any()
    if multi_class == "multinomial":
        primal, dual = independent_gap(
            features, labels, row_weights(labels), alpha, fit.coef, fit.intercept
        )
        assert fit.objective == pytest.approx(primal, rel=1e-9)
        assert (primal - dual) / primal == pytest.approx(fit.duality_gap, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("multi_class", ["multinomial", "one_vs_rest"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_alpha_max_is_where_the_first_weight_appears(n_classes, multi_class):
    features, labels = counts_and_labels(4, n_classes=n_classes)
    largest = alpha_max(features, labels, multi_class=multi_class)
    above, below = (
        fit_lasso(features, labels, alpha, multi_class=multi_class, tolerance=1e-12)
        for alpha in (largest * (1 + 1e-9), largest * 0.999)
    )
    assert above.alpha_max == largest
    assert not above.coef.any() and above.iterations == 0 and above.converged
    assert below.coef.any()


@pytest.mark.parametrize("seed", [281, *range(30)])
def test_tiny_alphas_are_reached_from_a_cold_start(seed):
    """Weights over orders of magnitude make Newton steps overshoot: seed 281 needs the alphas in
    between, most others the line search."""
    rng = np.random.default_rng(seed)
    features = sp.csr_array(1.0 * rng.poisson(1.0, (9, 19)) * (rng.random((9, 19)) < 0.5))
    labels = rng.integers(4, size=9)
    labels[:4] = np.arange(4)
    weights = np.exp(rng.normal(0, 2, 9))
    alpha = 1e-4 * alpha_max(features, labels, sample_weight=weights)
    assert fit_lasso(features, labels, alpha, sample_weight=weights).converged


def test_intercepts_without_coefficients_fit_the_class_shares():
    features, labels = counts_and_labels(5, n_classes=3)
    fit = fit_lasso(features, labels, 1e6, class_weight=None)
    assert fit.intercept.sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(
        predict_probabilities(fit, features)[0], np.bincount(labels) / len(labels)
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_path_descends_from_alpha_max_and_equals_cold_fits(n_classes):
    features, labels = counts_and_labels(6, n_classes=n_classes)
    path = lasso_path(features, labels, tolerance=1e-9)
    largest = alpha_max(features, labels)
    np.testing.assert_allclose([f.alpha for f in path], np.geomspace(largest, largest / 100, 50))
    assert all(fit.converged for fit in path) and not path[0].coef.any()
    assert (np.diff([fit.objective for fit in path]) < 0).all()
    for fit in path[5::15]:
        cold = fit_lasso(features, labels, fit.alpha, tolerance=1e-9)
        assert fit.objective == pytest.approx(cold.objective, rel=1e-8)
        np.testing.assert_allclose(fit.coef, cold.coef, atol=1e-3)


@pytest.mark.parametrize("multi_class", ["multinomial", "one_vs_rest"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_fit_may_start_from_another(n_classes, multi_class):
    features, labels = counts_and_labels(6, n_classes=n_classes)
    options = {"multi_class": multi_class, "tolerance": 1e-8}
    near, cold = (fit_lasso(features, labels, alpha, **options) for alpha in (2.1, 2.0))
    warm = fit_lasso(features, labels, 2.0, start=near, **options)
    again = fit_lasso(features, labels, 2.0, start=warm, **options)
    assert warm.converged and warm.objective == pytest.approx(cold.objective, rel=1e-7)
    assert again.iterations == 0 < warm.iterations < cold.iterations
    assert warm.alpha_max == cold.alpha_max
    with pytest.raises(InputError, match="start: its features, classes or multi_class"):
        fit_lasso(features[:, :-1], labels, 2.0, start=near, **options)


def test_start_may_come_from_other_rows():
    features, labels = counts_and_labels(6)
    start = fit_lasso(features, np.arange(80) % 2, 1e3)
    fit = fit_lasso(features, labels, 1e3, class_weight=None, start=start)
    assert fit.converged and not fit.coef.any()
    cold = fit_lasso(features, labels, 1e3, class_weight=None)
    np.testing.assert_allclose(fit.intercept, cold.intercept, atol=1e-2)


def test_path_takes_a_grid_in_any_order():
    features, labels = counts_and_labels(6)
    path = lasso_path(features, labels, [2.0, 8.0, 4.0])
    assert [fit.alpha for fit in path] == [8.0, 4.0, 2.0]


def test_one_vs_rest_is_one_binary_problem_per_class():
    features, labels = counts_and_labels(7, n_classes=3)
    alpha = 5.0
    fit = fit_lasso(features, labels, alpha, multi_class="one_vs_rest", tolerance=1e-9)
    binary = [fit_lasso(features, labels == label, alpha, tolerance=1e-9) for label in range(3)]
    np.testing.assert_array_equal(fit.coef, np.vstack([each.coef for each in binary]))
    assert fit.objective == pytest.approx(sum(each.objective for each in binary))
    assert fit.alpha_max == max(each.alpha_max for each in binary)
    reference = np.stack(
        [
            scikit_learn(features, labels == label, alpha).predict_proba(features.toarray())[:, 1]
            for label in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(
        predict_probabilities(fit, features),
        reference / reference.sum(axis=1, keepdims=True),
        atol=1e-3,
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_repeats_are_equal_to_the_byte(n_classes):
    features, labels = counts_and_labels(8, 200, 300, n_classes)
    first, second = (lasso_path(features, labels, n_alphas=10) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for field in FIELDS:
            assert np.asarray(getattr(one, field)).tobytes() == (
                np.asarray(getattr(other, field)).tobytes()
            )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_order_of_rows_and_columns_does_not_matter(n_classes):
    features, labels = counts_and_labels(9, 200, 50, n_classes)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(200), rng.permutation(50)
    alpha = alpha_max(features, labels) / 5
    fit = fit_lasso(features, labels, alpha, tolerance=1e-10)
    shuffled = fit_lasso(features[rows][:, columns], labels[rows], alpha, tolerance=1e-10)
    assert fit.objective == pytest.approx(shuffled.objective, rel=1e-9)
    np.testing.assert_allclose(fit.coef[:, columns], shuffled.coef, atol=1e-4)


def test_a_fit_that_does_not_converge_says_so(caplog):
    features, labels = counts_and_labels(12)
    with caplog.at_level(logging.WARNING):
        fit = fit_lasso(features, labels, 1.0, max_iter=1, tolerance=1e-9)
    assert not fit.converged and fit.duality_gap > 1e-9
    assert "NOT CONVERGED at alpha=1" in caplog.text
    primal, dual = independent_gap(
        features, labels, row_weights(labels), 1.0, fit.coef, fit.intercept
    )
    assert (primal - dual) / primal == pytest.approx(fit.duality_gap)


def test_an_unconverged_fit_of_another_solver_is_exposed():
    features, labels = counts_and_labels(13)
    model = LogisticRegression(
        l1_ratio=1, solver="saga", C=1.0, class_weight="balanced", max_iter=3, random_state=0
    )
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(features, labels)
    certificate = certify(features, labels, 1.0, model.coef_, model.intercept_)
    best = fit_lasso(features, labels, 1.0, tolerance=1e-9)
    assert certificate.relative_gap > 1e-3
    assert certificate.dual <= best.objective <= certificate.primal


def test_extra_memory_is_below_twice_the_matrix():
    features, labels = counts_and_labels(14, 2000, 600, density=0.8)
    size = features.data.nbytes + features.indices.nbytes + features.indptr.nbytes
    fit_lasso(features, labels, 100.0)
    tracemalloc.start()
    try:
        lasso_path(features, labels, n_alphas=10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * size


def test_features_of_zeros_have_no_path():
    empty = sp.csr_array((6, 3))
    assert not fit_lasso(empty, [0, 1] * 3, 1.0).coef.any()
    with pytest.raises(InputError, match="all are zero"):
        lasso_path(empty, [0, 1] * 3)


def test_importing_compiles_nothing():
    code = "import sys, speechlasso.lasso; assert not {'numba', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compiled_code_that_no_folder_takes_is_compiled_all_the_same():
    from speechlasso.lasso.kernels import _compiled

    # Numba keeps nothing of a function that lies in no file.
    namespace = {}
    exec("def twice(x): return 2 * x", namespace)
    assert _compiled()(namespace["twice"])(2.0) == 4.0
