"""What the same trained model decides of the same words when it hears nothing."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

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
