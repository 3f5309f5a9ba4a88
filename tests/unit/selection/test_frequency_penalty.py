"""frequency_penalty: a lasso that prefers frequent tokens."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speechlasso.lasso.fit import certify, fit_lasso
from speechlasso.selection.frequency_penalty import frequency_factors, scale_audio_columns


def test_factors_of_a_small_matrix():
    counts = sp.csr_array([[3, 1, 0], [1, 0, 0], [9, 0, 0], [1, 0, 0]])
    # document frequencies 1, 1/4, 0; the mean is over the two that occur
    np.testing.assert_allclose(frequency_factors(counts, 1.0), np.array([1, 0.25, 0]) * 2 / 1.25)
    np.testing.assert_allclose(frequency_factors(counts, 0.5), np.array([1, 0.5, 0]) * 2 / 1.5)
    np.testing.assert_array_equal(frequency_factors(counts, 0.0), 1)


def test_counts_without_any_token():
    np.testing.assert_array_equal(frequency_factors(sp.csr_array((4, 3), dtype=np.int32), 1.0), 0)


@settings(deadline=None)
@given(
    counts=hnp.arrays(np.int32, st.tuples(st.integers(1, 8), st.integers(1, 6)),
                      elements=st.integers(0, 3)),
    gamma=st.floats(0.1, 2),
)  # fmt: skip
def test_factors_rise_with_document_frequency_and_have_mean_one(counts, gamma):
    factors = frequency_factors(sp.csr_array(counts), gamma)
    frequency = (counts > 0).mean(axis=0)
    order = np.argsort(frequency, kind="stable")
    assert (np.diff(factors[order]) >= -1e-12).all()
    if counts.any():
        assert factors[frequency > 0].mean() == pytest.approx(1)
    assert not factors[frequency == 0].any()


def test_only_audio_columns_are_scaled():
    features = np.arange(1.0, 13).reshape(3, 4)
    scaled = scale_audio_columns(sp.csr_array(features), np.array([2.0, 0.5]))
    np.testing.assert_allclose(scaled.toarray(), features * [2, 0.5, 1, 1])


def test_scaled_columns_solve_the_weighted_penalty():
    """Independent check: subgradient conditions of loss + sum_j (alpha / factor_j) |w_j| on the
    columns as they were."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 8))
    labels = (features[:, 0] - features[:, 3] + rng.normal(size=60) > 0).astype(int)
    factors, alpha = np.array([0.2, 0.5, 1.0, 1.5, 1.8]), 2.0
    scaled = scale_audio_columns(sp.csr_array(features), factors)
    fit = fit_lasso(scaled, labels, alpha, class_weight=None, tolerance=1e-12)
    all_factors = np.append(factors, np.ones(3))
    weights = fit.coef[0] * all_factors
    probability = 1 / (1 + np.exp(-(features @ weights + fit.intercept[0])))
    gradient, penalty = features.T @ (probability - labels), alpha / all_factors
    kept = weights != 0
    assert 0 < kept.sum() < 8
    np.testing.assert_allclose(gradient[kept], -penalty[kept] * np.sign(weights[kept]), atol=1e-3)
    assert (np.abs(gradient[~kept]) <= penalty[~kept] + 1e-3).all()
    certificate = certify(scaled, labels, alpha, fit.coef, fit.intercept, class_weight=None)
    assert certificate.relative_gap < 1e-9


def test_of_two_tokens_alike_in_what_they_tell_the_frequent_one_is_kept():
    """A token in two rows of one class, against one in forty of sixty, at unit variance."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 60)
    rare, frequent = np.zeros(120), (rng.random(120) < np.where(labels == 1, 0.62, 0.5)) * 1.0
    rare[60:63] = 1
    counts = sp.csr_array(np.column_stack([rare, frequent]).astype(np.int32))
    features = sp.csr_array(counts / np.column_stack([rare, frequent]).std(axis=0))

    def importance_ratio(gamma):
        scaled = scale_audio_columns(features, frequency_factors(counts, gamma))
        importance = fit_lasso(scaled, labels, 3.0).importance
        return importance[0] / importance.sum()

    assert importance_ratio(0.0) > 0.3
    assert importance_ratio(1.0) < 0.05
