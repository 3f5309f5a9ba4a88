"""Residual k-means against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlasso.tokenizers import residual_kmeans


def brute_force(vectors: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    codes = []
    for vector in vectors.astype(np.float64):
        codes.append([])
        for codebook in codebooks.astype(np.float64):
            codes[-1].append(int(((codebook - vector) ** 2).sum(axis=1).argmin()))
            vector = vector - codebook[codes[-1][-1]]
    return np.array(codes).T


@settings(max_examples=30, deadline=None)
@given(
    n_layers=st.integers(1, 4),
    codebook_size=st.integers(2, 40),
    n_dimensions=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
)
def test_encode_agrees_with_brute_force(
    n_layers: int, codebook_size: int, n_dimensions: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(20, n_dimensions)).astype(np.float32)
    codebooks = rng.normal(size=(n_layers, codebook_size, n_dimensions)).astype(np.float32)
    codes = residual_kmeans.encode(vectors, codebooks)
    assert codes.dtype == np.int16
    # Where two centroids are equally near but for rounding, either is right.
    if (codes != brute_force(vectors, codebooks)).any():
        ours, theirs = (
            np.linalg.norm(vectors - sum(book[row] for row, book in zip(c, codebooks, strict=True)))
            for c in (codes, brute_force(vectors, codebooks))
        )
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_error_falls_with_every_layer() -> None:
    vectors = np.random.default_rng(0).normal(size=(2_000, 6)).astype(np.float32)
    codebooks = residual_kmeans.fit_codebooks(vectors, n_layers=5, codebook_size=16, seed=0)
    codes = residual_kmeans.encode(vectors, codebooks)
    approximation = np.cumsum(
        [book[row] for row, book in zip(codes, codebooks, strict=True)], axis=0
    )
    errors = np.square(vectors - approximation).mean(axis=(1, 2))
    assert errors[0] < 0.7 * np.square(vectors).mean()
    assert (errors[1:] < 0.85 * errors[:-1]).all()


def test_codebooks_find_the_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], dtype=np.float32)
    vectors = (centres.repeat(200, axis=0) + rng.normal(0, 0.1, (800, 2))).astype(np.float32)
    codebook = residual_kmeans.fit_codebooks(vectors, n_layers=1, codebook_size=4, seed=0)[0]
    distances = np.linalg.norm(codebook[:, None] - centres, axis=2)
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2, 3]
    assert distances.min(axis=1).max() < 0.05
