"""What is read of inner folds (`dataset.folds.choose_on: inner_folds`), and how it chooses.

An inner fold is a fold like any other: all that a system reads is made anew in it, and the system
is fitted and predicts there. The final fit, on all rows but the test rows, has no validation rows;
it reads these fits and predictions instead, in the roles named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

import pandas as pd

from speechlasso.evaluation.settings import Criterion
from speechlasso.files import read_json

_INNER = "inner_"
_FIT = f"{_INNER}fit_"
_PREDICTIONS = f"{_INNER}predictions_"

Files = Mapping[str, list[str]]
"""The files that are read in each role."""


def fit_role(number: int) -> str:
    """Of a system's training on an inner fold, whose training.json is read."""
    return f"{_FIT}{number}"


def predictions_role(number: int, of: str = "") -> str:
    """Of the predictions made on an inner fold, by the system itself or another that it reads."""
    return f"{_PREDICTIONS}{number}{of and f'_{of}'}"


def is_inner(role: str) -> bool:
    return role.startswith(_INNER)


def is_fit(role: str) -> bool:
    return role.startswith(_FIT)


def record(criterion: Criterion, scores: Mapping[float, float]) -> dict[str, list[list[float]]]:
    """What training.json says of the values that were tried: the validation score of each."""
    return {f"validation_{criterion.metric}": [list(pair) for pair in scores.items()]}


def mean_scores(inputs: Files, criterion: Criterion) -> dict[float, float]:
    """Each value's validation score, mean over the inner folds; empty where none are read.

    Values that not all of the fits have tried are left out, such as epochs after the one in which
    the first of them ran out of patience.
    """
    fits = [read_json(files[0]) for role, files in inputs.items() if is_fit(role)]
    scores = [dict(fit[f"validation_{criterion.metric}"]) for fit in fits]
    return {
        value: fmean(of_fit[value] for of_fit in scores)
        for value in (scores[0] if scores else ())
        if all(value in of_fit for of_fit in scores)
    }


def best_value(scores: Mapping[float, float], criterion: Criterion) -> float:
    """The value with the best score; of equal ones the first."""
    return max(scores, key=lambda value: criterion.utility(scores[value]))


def validation_rows(inputs: Files, of: str = "") -> pd.DataFrame | None:
    """Predictions of all inner folds' validation rows: each row once; None where none are read.

    Parameters
    ----------
    of
        As in `predictions_role`.

    Returns
    -------
    pandas.DataFrame
        As `evaluation.scores.predictions_frame` makes them.
    """
    paths = [
        files[0]
        for role, files in inputs.items()
        if role.startswith(_PREDICTIONS) and role.endswith(of)
    ]
    return pooled(map(pd.read_parquet, paths)) if paths else None


def pooled(predictions: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The validation rows of several predictions, one below the other."""
    rows = [frame[frame["split"] == "validation"] for frame in predictions]
    return pd.concat(rows, ignore_index=True)
