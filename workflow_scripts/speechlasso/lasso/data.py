"""Checked training data of a lasso: features, labels and weights become logistic problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.errors import InputError
from speechlasso.lasso.occurring import occurring_columns
from speechlasso.lasso.problem import LogisticProblem

MultiClass = Literal["multinomial", "one_vs_rest"]
ClassWeight = Literal["balanced"] | None


@dataclass(frozen=True)
class TrainingData:
    """Checked input: one problem, or for one_vs_rest with more than two classes one for each."""

    features: sp.csr_array | sp.csc_array
    classes: np.ndarray
    labels: np.ndarray
    sample_weight: np.ndarray
    class_weight: ClassWeight
    multi_class: MultiClass

    @classmethod
    def checked(cls, features, labels, class_weight, sample_weight, multi_class) -> TrainingData:
        features = _by_row_or_column(features)
        labels = np.asarray(labels)
        if sample_weight is None:
            sample_weight = np.ones(features.shape[0])
        sample_weight = np.asarray(sample_weight, dtype=np.float64)
        problems = [
            *_problems_of_options(class_weight, multi_class),
            *_problems_of_features(features),
            *_problems_of_rows(labels, sample_weight, features.shape[0]),
        ]
        if problems:
            raise InputError.listing("the lasso cannot be fitted:", problems)
        classes, codes = np.unique(labels, return_inverse=True)
        return cls(features, classes, codes, sample_weight, class_weight, multi_class)

    @cached_property
    def n_occurring(self) -> int:
        """Features that are not zero in every row."""
        return int(np.count_nonzero(occurring_columns(self.features)))

    def problems(self) -> Iterator[LogisticProblem]:
        n_classes = len(self.classes)
        if self.multi_class == "multinomial" or n_classes == 2:
            yield self._problem(self.labels, n_classes)
        else:
            for label in range(n_classes):
                yield self._problem((self.labels == label).astype(np.intp), 2)

    def _problem(self, labels: np.ndarray, n_classes: int) -> LogisticProblem:
        weights = self.sample_weight
        if self.class_weight == "balanced":
            class_totals = np.bincount(labels, weights)
            weights = weights * (weights.sum() / (n_classes * class_totals))[labels]
        return LogisticProblem(self.features, labels, weights, n_classes)


def _by_row_or_column(features) -> sp.csr_array | sp.csc_array:
    by_column = sp.issparse(features) and features.format == "csc"
    return (sp.csc_array if by_column else sp.csr_array)(features, dtype=np.float64)


def _problems_of_options(class_weight: ClassWeight, multi_class: MultiClass) -> Iterator[str]:
    if class_weight not in ("balanced", None):
        yield f"class_weight: expected 'balanced' or None, got {class_weight!r}"
    if multi_class not in ("multinomial", "one_vs_rest"):
        yield f"multi_class: expected 'multinomial' or 'one_vs_rest', got {multi_class!r}"


def _problems_of_features(features: sp.csr_array | sp.csc_array) -> Iterator[str]:
    if not np.isfinite(features.data).all():
        entries = features.tocoo()
        rows = np.unique(entries.row[~np.isfinite(entries.data)])
        yield f"features: values that are not finite in rows {_listed(rows)}"


def _problems_of_rows(labels: np.ndarray, sample_weight: np.ndarray, n_rows: int) -> Iterator[str]:
    usable = True
    for name, array in (("labels", labels), ("sample_weight", sample_weight)):
        if array.shape != (n_rows,):
            usable = False
            yield f"{name}: expected shape ({n_rows},), as features have rows, got {array.shape}"
    bad_weight = ~(np.isfinite(sample_weight) & (sample_weight >= 0))
    if bad_weight.any():
        usable = False
        rows = np.flatnonzero(bad_weight)
        yield f"sample_weight: negative or not finite in rows {_listed(rows)}"
    if pd.isna(labels).any():
        usable = False
        yield f"labels: missing in rows {_listed(np.flatnonzero(pd.isna(labels)))}"
    if usable:
        classes = np.unique(labels[sample_weight > 0])
        without_weight = np.setdiff1d(labels, classes)
        if without_weight.size:
            yield f"sample_weight: zero for every row of {without_weight.tolist()}"
        elif classes.size < 2:
            yield f"labels: expected two classes or more, got {classes.tolist()}"


def _listed(rows: np.ndarray) -> str:
    more = f" and {rows.size - 10} more" if rows.size > 10 else ""
    return ", ".join(map(str, rows[:10].tolist())) + more
