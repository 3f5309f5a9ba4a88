"""How often one and the same trained model decides otherwise when it hears nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from speechlasso.evaluation.tested_arms import TestedArm
from speechlasso.evaluation.without_audio import COLUMN

EFFECT_COLUMNS = ["arm", "fold", "seed", "n", "flipped", "to_right", "to_wrong", "other"]


def audio_effect(arms: Iterable[TestedArm]) -> pd.DataFrame:
    """How much the audio changes what one and the same trained model decides of test rows.

    Returns
    -------
    pandas.DataFrame
        For each run whose predictions have `COLUMN`: n, the test rows that were read as words and
        audio; of these the shares that the model decides otherwise from their words alone
        (flipped), made up of those that the audio turns from wrong to right (to_right), from
        right to wrong (to_wrong), and from one wrong class to another (other).
    """
    rows = [
        [arm.name, fold, seed, *_effect(of_fold.dropna(subset=COLUMN))]
        for arm in arms
        for seed, of_seed in arm.seeds.items()
        if COLUMN in of_seed
        for fold, of_fold in of_seed.groupby("fold", sort=False)
    ]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


def _effect(rows: pd.DataFrame) -> list[float]:
    flipped = rows["predicted"] != rows[COLUMN]
    to_right = flipped & (rows["predicted"] == rows["label"])
    to_wrong = flipped & (rows[COLUMN] == rows["label"])
    other = flipped & ~to_right & ~to_wrong
    return [len(rows), *(kind.mean() for kind in (flipped, to_right, to_wrong, other))]
