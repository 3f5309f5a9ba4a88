"""Residual vector quantisation with codebooks learned by k-means.

Source: multistage vector quantisation (Juang and Gray 1982), the scheme of the neural codecs'
residual quantisers: each layer quantises what the layers before it left over.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

MAX_ITERATIONS = 30  # the error falls by less than 1 % after that
TOLERANCE = 1e-3


def fit_codebooks(
    vectors: np.ndarray, *, n_layers: int, codebook_size: int, seed: int
) -> np.ndarray:
    """Learn one codebook per layer on the residual of the layers before.

    Parameters
    ----------
    vectors
        float32 (n_vectors, n_dimensions), at least `codebook_size` of them.
    n_layers, codebook_size
        Number of codebooks and of centroids in each.
    seed
        Same vectors and same seed give the same bytes.

    Returns
    -------
    float32 array (n_layers, codebook_size, n_dimensions).
    """
    from sklearn.cluster import KMeans  # takes a second, and encoding does without

    rng = np.random.default_rng(seed)
    residual = vectors
    codebooks = []
    # Threads would add the partial sums of a centroid in an order that depends on their number.
    with threadpool_limits(limits=1):
        for _ in range(n_layers):
            kmeans = KMeans(
                codebook_size,
                n_init=1,
                max_iter=MAX_ITERATIONS,
                tol=TOLERANCE,
                random_state=int(rng.integers(2**31)),
            )
            codebook = kmeans.fit(residual).cluster_centers_.astype(np.float32)
            codebooks.append(codebook)
            residual = residual - codebook[nearest(residual, codebook)]
    return np.stack(codebooks)


def encode(vectors: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """Quantise vectors layer by layer.

    Parameters
    ----------
    vectors
        float32 (n_vectors, n_dimensions).
    codebooks
        float32 (n_layers, codebook_size, n_dimensions).

    Returns
    -------
    int16 array (n_layers, n_vectors).
    """
    codes = np.empty((len(codebooks), len(vectors)), dtype=np.int16)
    residual = vectors
    for layer, codebook in enumerate(codebooks):
        codes[layer] = nearest(residual, codebook)
        residual = residual - codebook[codes[layer]]
    return codes


def nearest(vectors: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Index of the centroid with the smallest Euclidean distance to each vector.

    |x - c|^2 = |x|^2 - 2 x.c + |c|^2, and |x|^2 is the same for all centroids.
    """
    return (vectors @ (-2 * codebook.T) + np.square(codebook).sum(axis=1)).argmin(axis=1)
