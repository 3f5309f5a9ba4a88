"""The test rows of each arm, over all folds: of each seed, and with its seeds averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.evaluation.cards import not_usual
from speechlasso.evaluation.run_predictions import (
    decision_threshold,
    positive_label,
    read_predictions,
)
from speechlasso.evaluation.scores import classification_scores, scored_rows
from speechlasso.evaluation.seed_average import averaged


@dataclass(frozen=True)
class TestedArm:
    """What one arm predicts of test rows.

    Attributes
    ----------
    seeds
        For each seed a table as `scores.predictions_frame` makes it, with the column fold; more
        columns where the system predicts more.
    averaged
        The same with the mean probabilities over seeds, and what is decided by these
        (`seed_average.averaged`).
    """

    __test__ = False  # for pytest, which takes it for a test

    name: str
    seeds: dict[Any, pd.DataFrame]
    averaged: pd.DataFrame
    positive_label: str | None

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """By fold and id of each averaged row: label, predicted, right, and probability, that of
        the true class."""
        rows = self.averaged
        scored = scored_rows(rows, None)
        probability = scored.probabilities[np.arange(len(rows)), scored.labels]
        found = rows[["fold", "id", "label", "predicted"]].assign(
            right=scored.labels == scored.predicted, probability=probability
        )
        return found.set_index(["fold", "id"])


class RowScores:
    """A metric on any of some predicted rows."""

    def __init__(self, rows: pd.DataFrame, positive: str | None, metric: str) -> None:
        self._rows, self._positive, self._metric = scored_rows(rows, positive), positive, metric

    def of(self, chosen: np.ndarray) -> float:
        """The score of the chosen rows; NaN where it is not defined."""
        rows = self._rows
        found = classification_scores(
            rows.labels[chosen],
            rows.probabilities[chosen],
            rows.classes,
            self._positive,
            rows.predicted[chosen],
            more_metrics=not_usual([self._metric]),
        )[self._metric]
        return np.nan if found is None else found


def read_arms(index: Iterable[Mapping[str, Any]], root: Path) -> dict[str, TestedArm]:
    """Every arm by its name, in their order.

    Parameters
    ----------
    index
        The folders of each run, as index.tsv has them; each arm has all folds with all seeds.
    root
        What these folders start from.

    Raises
    ------
    InputError
        If predictions are not there any more.
    """
    runs = pd.DataFrame(index)
    return {
        str(arm): _tested_arm(str(arm), of_arm.to_dict("records"), root)
        for arm, of_arm in runs.groupby("arm", sort=False)
    }


def _tested_arm(name: str, runs: list[dict[str, Any]], root: Path) -> TestedArm:
    of_seed: dict[Any, list[pd.DataFrame]] = {}
    of_fold: dict[str, list[tuple[pd.DataFrame, Any]]] = {}
    for run in runs:
        predictions = read_predictions(run, root)
        rows = predictions[predictions["split"] == "test"].assign(fold=str(run["fold"]))
        of_seed.setdefault(run["seed"], []).append(rows)
        threshold = decision_threshold(run, root)
        of_fold.setdefault(str(run["fold"]), []).append((rows, threshold))
    means = [averaged(*map(list, zip(*of, strict=True))) for of in of_fold.values()]
    return TestedArm(
        name,
        {seed: pd.concat(rows, ignore_index=True) for seed, rows in of_seed.items()},
        pd.concat(means, ignore_index=True),
        positive_label(runs[0], root),
    )
