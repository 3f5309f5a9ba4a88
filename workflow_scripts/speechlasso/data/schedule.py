"""Schedules: which training rows are learned from, with or without speech, in which order.

Text with labels is plentiful and labelled speech is scarce. A schedule says how the two are mixed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechlasso.data.settings import Schedule
from speechlasso.errors import InputError, names_of


def schedule_examples(
    rows: pd.DataFrame, schedule: Schedule, seed: int | None, fold: str
) -> pd.DataFrame:
    """The examples of a schedule.

    Parameters
    ----------
    rows
        Training rows of a fold: columns id, label and, for a target language, language.
    seed
        With the fold, what the rows with speech are drawn from; text_only draws none.

    Returns
    -------
    pandas.DataFrame
        phase (from 0 on; trainings shuffle within a phase), id and speech (bool: with the row's
        speech or as text alone), phases in their order.

    Raises
    ------
    InputError
        If no row is in the target language.
    """
    text = pd.DataFrame({"phase": 0, "id": rows["id"].to_numpy(), "speech": False})
    if schedule.scheme == "text_only":
        return text
    is_scarce = _is_scarce(rows, schedule.target_language, fold)
    scarce, plentiful = np.flatnonzero(is_scarce), np.flatnonzero(~is_scarce)
    rng = np.random.default_rng([seed, *fold.encode()])
    order = scarce[nested_order(rows["label"].to_numpy()[scarce], rng)]
    n_scarce = n_with_speech(len(scarce), schedule.speech_fraction)
    chosen = np.sort(np.concatenate([plentiful, order[:n_scarce]]))
    phase = 1 if schedule.scheme == "curriculum" else 0
    speech = pd.DataFrame({"phase": phase, "id": rows["id"].to_numpy()[chosen], "speech": True})
    return pd.concat([text, speech], ignore_index=True)


def _is_scarce(rows: pd.DataFrame, target_language: str | None, fold: str) -> np.ndarray:
    """Whether only a part of such rows is there with speech: bool, (n_rows,)."""
    if target_language is None:
        return np.full(len(rows), True)
    is_scarce = (rows["language"] == target_language).to_numpy()
    if not is_scarce.any():
        raise InputError(
            f"finetune.schedule.target_language: no training row of fold {fold!r} is in "
            f"{target_language!r}; these have {names_of(set(rows['language']))}"
        )
    return is_scarce


def n_with_speech(n_rows: int, fraction: float) -> int:
    """The nearest number of rows to the fraction; one at least, unless the fraction is 0."""
    return max(round(fraction * n_rows), int(fraction > 0))


def nested_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of rows of which every beginning has the classes by their shares.

    Classes take turns as parties do under the method of Sainte-Lague: the r-th row of a class of n
    (from 0) stands at (r + 1/2) / n.

    Returns
    -------
    numpy.ndarray
        Positions, int64, (n_rows,).
    """
    shuffled = rng.permutation(len(labels))
    of_class = pd.Series(labels[shuffled]).groupby(labels[shuffled])
    place = (of_class.cumcount() + 0.5) / of_class.transform("size")
    return shuffled[np.argsort(place.to_numpy(), kind="stable")]
