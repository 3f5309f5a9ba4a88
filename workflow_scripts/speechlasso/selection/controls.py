"""Other ways to choose audio tokens, for comparison with the lasso.

Each function scores the audio tokens, (n_audio_features,), larger meaning better, from the rows it
is given; give it training rows only. `top_k` turns scores into a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy
from tqdm import tqdm

from speechlasso.lasso.fit import LassoFit


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest scores above zero, ascending; of equal scores the lower index
    wins. Fewer than k where fewer are above zero."""
    largest = np.argsort(-scores, kind="stable")[:k]
    return np.sort(largest[scores[largest] > 0])


def term_frequency(audio_counts: sp.csr_array) -> np.ndarray:
    """How often each audio token occurs, int64."""
    return np.asarray(audio_counts.sum(axis=0, dtype=np.int64)).ravel()


def document_frequency(audio_counts: sp.csr_array) -> np.ndarray:
    """Share of the rows in which each audio token occurs."""
    n_rows = audio_counts.shape[0]
    return documents_per_class(audio_counts, np.zeros(n_rows))[0] / n_rows


def documents_per_class(counts: sp.csr_array, labels: np.ndarray) -> np.ndarray:
    """Rows of each class, in ascending order of the labels, in which each feature occurs: int64,
    (n_classes, n_features)."""
    classes, codes = np.unique(labels, return_inverse=True)
    ones = np.ones(len(codes), dtype=np.int64)
    membership = sp.csr_array((ones, (codes, np.arange(len(codes)))), (len(classes), len(codes)))
    return (membership @ sp.csr_array(counts > 0, dtype=np.int64)).toarray()


def chi_square(audio_counts: sp.csr_array, labels: np.ndarray) -> np.ndarray:
    """Chi-square statistic of each audio token's occurrences over the classes, against occurrences
    in proportion to the rows of each class (scikit-learn's `chi2`); 0 for tokens that never
    occur."""
    from sklearn.feature_selection import chi2

    return np.nan_to_num(chi2(audio_counts, labels)[0], nan=0.0)


def mutual_information(audio_counts: sp.csr_array, labels: np.ndarray) -> np.ndarray:
    """Mutual information of the class and whether an audio token occurs in the row, in nats.

    Exactly 0 where class and token are independent in these rows, so that `top_k` leaves such
    tokens out.
    """
    _, n_of_class = np.unique(labels, return_counts=True)
    n_rows = n_of_class.sum()
    present = documents_per_class(audio_counts, labels)
    information = np.zeros(present.shape[1])
    for joint in (present, n_of_class[:, None] - present):
        # Products of whole numbers are exact, and so is the ratio where it is 1.
        expected = n_of_class[:, None] * joint.sum(axis=0)
        ratio = n_rows * joint / np.maximum(expected, 1)
        information += xlogy(joint, ratio).sum(axis=0)
    return information / n_rows


def stability(
    counts: sp.csr_array,
    labels: np.ndarray,
    n_audio_features: int,
    alpha: float,
    *,
    fit: Callable[[sp.csr_array, np.ndarray, float], LassoFit],
    keep: Callable[[np.ndarray, int], np.ndarray],
    n_subsamples: int,
    seed: int,
) -> np.ndarray:
    """Selection probability of each audio token: the share of random half-samples of the rows in
    which the lasso selects it.

    Source: Meinshausen & Buehlmann (2010), Stability selection, section 2; here half of each class
    is drawn, so that no class is lost.

    Parameters
    ----------
    counts
        What the lasso reads, audio features first, (n_rows, n_features).
    alpha
        L1 strength, the same for each half-sample. Half the rows have half the loss, so a half
        keeps fewer tokens than all rows do at this alpha.
    fit
        From the counts and labels of a half-sample and alpha to the lasso; it weighs the counts by
        what these rows teach, since it sees no others.
    keep
        From the importance of all features, (n_features,), and the number of those that occur to
        the indices of the selected audio features, as `selection.keep_important`.
    n_subsamples
        Number of half-samples.

    Raises
    ------
    InputError
        As `fit` raises it.
    """
    labels = np.asarray(labels)
    n_selected = np.zeros(n_audio_features, dtype=np.int64)
    halves = _stratified_halves(labels, n_subsamples, seed)
    for rows in tqdm(halves, total=n_subsamples, desc="stability selection", unit="fit"):
        fitted = fit(counts[rows], labels[rows], alpha)
        n_selected[keep(fitted.importance, fitted.n_occurring)] += 1
    return n_selected / n_subsamples


def _stratified_halves(labels: np.ndarray, n: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of n half-samples, drawn without replacement, ascending; of an odd class the larger
    half."""
    rng = np.random.default_rng(seed)
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for _ in range(n):
        drawn = [rng.choice(rows, (len(rows) + 1) // 2, replace=False) for rows in of_class]
        yield np.sort(np.concatenate(drawn))
