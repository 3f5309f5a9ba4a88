"""Features that occur in the rows that a model learns from, and those that do not."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin


def occurring_columns(features: sp.csr_array | sp.csc_array) -> np.ndarray:
    """Which columns are not zero in every row, bool, (n_features,)."""
    entries = features.tocoo()
    occurs = np.zeros(features.shape[1], dtype=bool)
    occurs[entries.col[entries.data != 0]] = True
    return occurs


class OccurringFeatures(TransformerMixin, BaseEstimator):
    """Zeros wherever a column was zero in all rows that this was fitted on; the shape stays."""

    def fit(self, counts: sp.csr_array, labels: object = None) -> OccurringFeatures:
        self.occurs_ = occurring_columns(counts)
        return self

    def transform(self, counts: sp.csr_array) -> sp.csr_array:
        occurs = self.occurs_.astype(counts.dtype)
        return sp.csr_array(counts @ sp.diags_array(occurs, dtype=None))
