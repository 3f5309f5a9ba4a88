"""Product quantisation against its definition, spelled out on drawn vectors."""

from __future__ import annotations

import numpy as np
import pytest

from speechlasso.tokenizers.product_quantiser import fit_product_quantiser, groups_of, whitening

OPTIONS = {"n_components": 6, "n_groups": 2, "n_stages": 2, "codebook_size": 8, "seed": 3}


@pytest.fixture(scope="module")
def vectors():
    """Features of unequal scale that hang together."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(400, 10)) @ rng.normal(size=(10, 10))
    return (mixed * np.logspace(-2, 2, 10) + 5).astype(np.float32)


@pytest.fixture(scope="module")
def quantiser(vectors):
    return fit_product_quantiser(vectors, **OPTIONS)


def test_components_are_uncorrelated_and_of_unit_variance(vectors, quantiser):
    components = quantiser.components(vectors)
    assert components.shape == (400, 6)
    np.testing.assert_allclose(np.cov(components.T, bias=True), np.eye(6), atol=1e-3)


def test_they_are_the_first_principal_components(vectors):
    standardised = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    _, scales, rows = np.linalg.svd(standardised.astype(np.float64), full_matrices=False)
    expected = standardised @ (rows[:3].T / scales[:3] * np.sqrt(len(vectors)))
    found = standardised @ whitening(standardised, 3)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


def test_each_stage_takes_the_nearest_centroid_of_what_is_left(vectors, quantiser):
    codes = quantiser.encode(vectors)
    assert codes.shape == (4, 400) and codes.dtype == np.int16
    components = quantiser.components(vectors)
    for group in range(2):
        left = components[:, group::2]
        for stage in range(2):
            codebook = quantiser.codebooks[group, stage]
            distance = np.square(left[:, None] - codebook).sum(axis=2)
            chosen = codes[2 * group + stage]
            at = np.arange(len(left))
            np.testing.assert_allclose(distance[at, chosen], distance.min(axis=1), atol=1e-4)
            left = left - codebook[chosen]


def test_centroids_lie_among_all_components(vectors, quantiser):
    assert quantiser.centroids.shape == (4, 8, 6)
    codes, centroids = quantiser.encode(vectors), quantiser.centroids
    # What the stages stand for, group by group, adds up to the vector as it was understood.
    understood = sum(centroids[layer][of_layer] for layer, of_layer in enumerate(codes))
    components = quantiser.components(vectors)
    for layer, of_layer in enumerate(codes):
        group = layer // 2
        assert not centroids[layer][:, [i for i in range(6) if i % 2 != group]].any()
        assert len(np.unique(of_layer)) > 1
    assert np.square(components - understood).mean() < 0.5 * np.square(components).mean()


def test_a_second_stage_leaves_less_over(vectors, quantiser):
    one = fit_product_quantiser(vectors, **OPTIONS | {"n_stages": 1})
    np.testing.assert_array_equal(one.codebooks[:, 0], quantiser.codebooks[:, 0])

    def error(fitted):
        components, codes = fitted.components(vectors), fitted.encode(vectors)
        n_stages, total = fitted.codebooks.shape[1], 0.0
        for group, part in enumerate(groups_of(components, 2)):
            of_group = codes[group * n_stages : (group + 1) * n_stages]
            told = sum(book[c] for book, c in zip(fitted.codebooks[group], of_group, strict=True))
            total += np.square(part - told).sum()
        return total

    assert error(quantiser) < 0.6 * error(one)


def test_same_seed_same_bytes_and_a_feature_without_variance_is_no_harm(vectors, quantiser):
    again = fit_product_quantiser(vectors, **OPTIONS)
    for name, array in quantiser.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    still = vectors.copy()
    still[:, 4] = 1.5
    codes = fit_product_quantiser(still, **OPTIONS).encode(still)
    assert len(np.unique(codes)) == 8
