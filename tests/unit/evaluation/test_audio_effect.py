"""How often the same model decides otherwise from the words alone."""

from __future__ import annotations

import pandas as pd

from speechlasso.evaluation.audio_effect import EFFECT_COLUMNS, audio_effect
from speechlasso.evaluation.tested_arms import TestedArm
from speechlasso.evaluation.without_audio import COLUMN

# label, decided with audio, decided without; None where no such question was asked.
ROWS = [
    *[("a", "a", "a")] * 5,
    *[("a", "a", "b")] * 4,  # to right
    *[("a", "b", "a")] * 2,  # to wrong
    *[("a", "b", "c")] * 3,  # other
    *[("a", "b", "b")] * 6,
    *[("a", "b", None)] * 7,
]


def test_flips_and_which_way():
    frame = pd.DataFrame(ROWS, columns=["label", "predicted", COLUMN]).assign(fold="01")
    text = TestedArm("text_only", {1: frame.drop(columns=COLUMN)}, frame, None)
    both = TestedArm("lasso", {2: frame}, frame, None)
    table = audio_effect([text, both])
    assert list(table) == EFFECT_COLUMNS
    assert table.to_numpy().tolist() == [["lasso", "01", 2, 20, 9 / 20, 4 / 20, 2 / 20, 3 / 20]]
    assert audio_effect([text]).columns.tolist() == EFFECT_COLUMNS


def test_each_fold_and_seed_has_a_row():
    frame = pd.DataFrame(ROWS, columns=["label", "predicted", COLUMN])
    folds = pd.concat([frame.assign(fold="2"), frame[:9].assign(fold="1")])
    arm = TestedArm("lasso", {7: folds, 8: folds.assign(**{COLUMN: "a"})}, folds, None)
    table = audio_effect([arm])
    assert table[["fold", "seed", "n"]].to_numpy().tolist() == [
        *(["2", 7, 20], ["1", 7, 9], ["2", 8, 27], ["1", 8, 9])
    ]
    assert table["flipped"].tolist() == [9 / 20, 4 / 9, 18 / 27, 0]
