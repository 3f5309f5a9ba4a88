"""What the lasso takes: formats, labels, and mistakes in them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from plain_lasso import counts_and_labels

from speechlasso.errors import InputError
from speechlasso.lasso.fit import fit_lasso


def test_formats_of_the_features_do_not_matter_and_stay_untouched():
    features, labels = counts_and_labels(10)
    wide = features.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    # Each count split in two entries of the same place.
    split = sp.csr_array(
        (
            np.repeat(features.data / 2, 2),
            np.repeat(features.indices, 2),
            features.indptr * 2,
        ),
        shape=features.shape,
    )
    expected = fit_lasso(features, labels, 0.5)
    for other in (
        features.tocsc(),
        sp.csr_matrix(features),
        features.toarray(),
        features.astype(np.float32),
        features.astype(np.int64),
        features.tocoo(),
        wide,
        split,
        split.tocsc(),
    ):
        before = other.copy()
        fit = fit_lasso(other, labels, 0.5)
        np.testing.assert_allclose(fit.coef, expected.coef, rtol=1e-9, atol=1e-12)
        if sp.issparse(other):
            assert other.nnz == before.nnz and other.dtype == before.dtype
            np.testing.assert_array_equal(other.data, before.data)


def test_labels_may_be_words():
    features, codes = counts_and_labels(11, n_classes=3)
    words = np.array(["appeal", "cause", "slogan"])[codes]
    fit, of_codes = fit_lasso(features, words, 4.0), fit_lasso(features, codes, 4.0)
    assert fit.classes.tolist() == ["appeal", "cause", "slogan"]
    np.testing.assert_array_equal(fit.coef, of_codes.coef)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(80, dtype=int)}, r"labels: expected two classes or more, got \[0\]"),
        ({"labels": np.arange(79) % 2}, r"labels: expected shape \(80,\)"),
        (
            {"labels": np.array([None, *["a", "b"] * 39, "a"], dtype=object)},
            r"labels: missing in rows 0$",
        ),
        ({"sample_weight": np.full(80, -1.0)}, "sample_weight: negative .* and 70 more"),
        ({"sample_weight": np.ones(3)}, r"sample_weight: expected shape \(80,\)"),
        (
            {"labels": np.arange(80) % 2, "sample_weight": np.arange(80) % 2.0},
            r"sample_weight: zero for every row of \[0\]",
        ),
        ({"class_weight": "even"}, "class_weight: expected 'balanced' or None, got 'even'"),
        ({"multi_class": "ovr"}, "multi_class: expected 'multinomial' or 'one_vs_rest'"),
        ({"alpha": 0.0}, "alpha must be positive and finite"),
        ({"alpha": np.nan}, "alpha must be positive and finite"),
    ],
)
def test_bad_input_is_named(changes, message):
    features, labels = counts_and_labels(15)
    arguments = {"labels": labels, "alpha": 1.0, **changes}
    with pytest.raises(InputError, match=message):
        fit_lasso(features, **arguments)


def test_all_problems_are_listed_at_once():
    features, _ = counts_and_labels(15)
    features.data[0] = np.nan
    with pytest.raises(InputError) as error:
        fit_lasso(features, np.zeros(3), 1.0, multi_class="ovr")
    for part in ("not finite in rows", "labels: expected shape", "multi_class"):
        assert part in str(error.value)
