"""What the same trained model decides of the same words when it hears nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso.evaluation.run_predictions import read_predictions

COLUMN = "predicted_without_audio"
"""Of predictions: the decision from the words alone; missing where nobody asked."""


def with_silence(
    predictions: pd.DataFrame,
    has_both: pd.Series,
    predict_silent: Callable[[pd.Series], pd.DataFrame],
) -> pd.DataFrame:
    """Predictions with `COLUMN` for test rows that were read as words and sound.

    Parameters
    ----------
    predictions
        As `scores.predictions_frame` makes them.
    has_both
        Whether each row was read as words and sound, bool, rows as in `predictions`.
    predict_silent
        From bool (which rows) to predictions of these from their words alone.

    Returns
    -------
    pandas.DataFrame
        The same where no test row has both.
    """
    asked = has_both.to_numpy(dtype=bool) & (predictions["split"] == "test")
    if not asked.any():
        return predictions
    decided = predict_silent(asked).set_index("id")["predicted"]
    return predictions.assign(**{COLUMN: predictions["id"].map(decided).where(asked)})


EFFECT_COLUMNS = ["arm", "fold", "seed", "n", "flipped", "to_right", "to_wrong", "other"]


def audio_effect(index: Iterable[Mapping[str, Any]], root: Path) -> pd.DataFrame:
    """How much the audio changes what one and the same trained model decides of test rows.

    Parameters
    ----------
    index
        The folders of each run, as index.tsv has them.
    root
        What these folders start from.

    Returns
    -------
    pandas.DataFrame
        For each run whose predictions have `COLUMN`: n, the test rows that were read as words and
        audio; of these the shares that the model decides otherwise from their words alone
        (flipped), made up of those that the audio turns from wrong to right (to_right), from
        right to wrong (to_wrong), and from one wrong class to another (other).
    """
    rows = [
        [run["arm"], run["fold"], run["seed"], *effect]
        for run in index
        if (effect := _effect(read_predictions(run, root)))
    ]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


def _effect(predictions: pd.DataFrame) -> list[float]:
    if COLUMN not in predictions:
        return []
    rows = predictions.dropna(subset=COLUMN)
    flipped = rows["predicted"] != rows[COLUMN]
    to_right = flipped & (rows["predicted"] == rows["label"])
    to_wrong = flipped & (rows[COLUMN] == rows["label"])
    other = flipped & ~to_right & ~to_wrong
    return [len(rows), *(kind.mean() for kind in (flipped, to_right, to_wrong, other))]
