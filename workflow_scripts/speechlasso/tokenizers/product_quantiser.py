"""Product quantisation of whitened principal components.

Source: Jegou et al. 2011, "Product quantization for nearest neighbor search", IEEE TPAMI 33,
section III: a vector is cut into groups of components, each quantised by a small codebook of its
own, so that a frame has one token of each group. Within a group further stages quantise what is
left over (`residual_kmeans`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from speechlasso.tokenizers import residual_kmeans


@dataclass(frozen=True)
class ProductQuantiser:
    """What was learned of training vectors.

    Attributes
    ----------
    mean, deviation
        Of each feature, float32 (n_features,): features of unequal scale are put together.
    projection
        To whitened principal components, float32 (n_features, n_components).
    codebooks
        float32 (n_groups, n_stages, codebook_size, n_components / n_groups).
    """

    mean: np.ndarray
    deviation: np.ndarray
    projection: np.ndarray
    codebooks: np.ndarray

    @property
    def n_layers(self) -> int:
        return self.codebooks.shape[0] * self.codebooks.shape[1]

    @property
    def codebook_size(self) -> int:
        return self.codebooks.shape[2]

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """int16 (n_groups * n_stages, n_vectors), the stages of a group side by side."""
        # The number of threads would show in the last bit.
        with threadpool_limits(limits=1):
            components = self.components(vectors)
            codes = [
                residual_kmeans.encode(group, codebooks)
                for group, codebooks in zip(
                    groups_of(components, len(self.codebooks)), self.codebooks, strict=True
                )
            ]
        return np.concatenate(codes)

    def components(self, vectors: np.ndarray) -> np.ndarray:
        """float32 (n_vectors, n_components), of unit variance on the training vectors."""
        return ((vectors - self.mean) / self.deviation) @ self.projection

    @property
    def centroids(self) -> np.ndarray:
        """Each code's centroid among all components, zero in those of other groups: float32
        (n_groups * n_stages, codebook_size, n_components)."""
        n_groups, n_stages, codebook_size, size = self.codebooks.shape
        apart = np.zeros((n_groups, n_stages, codebook_size, n_groups * size), dtype=np.float32)
        for group, of_group in enumerate(self.codebooks):
            apart[group, :, :, group::n_groups] = of_group
        return apart.reshape(self.n_layers, codebook_size, -1)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.ascontiguousarray(array) for name, array in vars(self).items()}


def fit_product_quantiser(
    vectors: np.ndarray,
    *,
    n_components: int,
    n_groups: int,
    n_stages: int,
    codebook_size: int,
    seed: int,
) -> ProductQuantiser:
    """Learn it; pass vectors of training clips only.

    Parameters
    ----------
    vectors
        float32 (n_vectors, n_features), at least `codebook_size` of them.
    n_components
        A multiple of `n_groups`, at most n_features.
    seed
        Same vectors and same seed give the same bytes.
    """
    with threadpool_limits(limits=1):
        mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        deviation[deviation == 0] = 1
        standardised = (vectors - mean) / deviation
        projection = whitening(standardised, n_components)
        components = standardised @ projection
        codebooks = [
            residual_kmeans.fit_codebooks(
                group, n_layers=n_stages, codebook_size=codebook_size, seed=seed + number
            )
            for number, group in enumerate(groups_of(components, n_groups))
        ]
    return ProductQuantiser(mean, deviation, projection, np.stack(codebooks))


def whitening(vectors: np.ndarray, n_components: int) -> np.ndarray:
    """Projection of centred vectors to their first principal components, each of unit variance:
    float32 (n_features, n_components)."""
    covariance = vectors.T.astype(np.float64) @ vectors / len(vectors)
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1][:n_components], directions[:, ::-1][:, :n_components]
    # A direction's sign is free: its largest entry is positive.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(n_components)])
    # Components without variance stay without.
    scale = np.sqrt(np.maximum(variances, variances.max() * 1e-9))
    return (directions / scale).astype(np.float32)


def groups_of(components: np.ndarray, n_groups: int) -> list[np.ndarray]:
    """Components dealt out to groups in turn, so that each has strong and weak ones."""
    return [np.ascontiguousarray(components[:, group::n_groups]) for group in range(n_groups)]
