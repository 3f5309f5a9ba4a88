"""A lasso whose penalty is lighter for audio tokens that are met in many utterances.

Unit variance, as published, makes a token that occurs in two utterances as cheap to the lasso as
one that occurs in half of them, although the rare one often marks a speaker. Here the penalty of
token j is alpha / df_j ** gamma, where df_j is the share of the training rows that it occurs in.

Source: the weighted L1 penalty of the adaptive lasso (Zou 2006), with document frequencies in
place of a first estimate.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from speechlasso.selection.controls import document_frequency


def frequency_factors(audio_counts: sp.csr_array, gamma: float) -> np.ndarray:
    """What to multiply each audio token's weighted column by, float64, (n_audio_features,).

    A column times a factor, under one penalty for all, is the column itself under the penalty
    divided by the factor.

    Parameters
    ----------
    audio_counts
        Counts of the rows that fit the lasso, and of no others, (n_rows, n_audio_features).
    gamma
        0: the ordinary lasso; 1: in proportion to the document frequency. The factors of the tokens
        that occur have mean 1, so that words, whose factor is 1, compete as before. A token that
        never occurs has the factor 0, unless gamma is 0, and changes no other's.
    """
    if gamma == 0:
        return np.ones(audio_counts.shape[1])
    factors = document_frequency(audio_counts) ** gamma
    return factors / factors[factors > 0].mean() if factors.any() else factors


def scale_audio_columns(features: sp.csr_array, factors: np.ndarray) -> sp.csr_array:
    """Weighted features with their first columns, the audio tokens, multiplied by the factors.

    Parameters
    ----------
    features
        Audio features first, then words, (n_rows, n_features).
    factors
        (n_audio_features,), at most n_features.
    """
    all_factors = np.ones(features.shape[1])
    all_factors[: len(factors)] = factors
    return sp.csr_array(features @ sp.diags_array(all_factors))
