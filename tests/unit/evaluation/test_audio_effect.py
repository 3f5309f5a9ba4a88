"""How often the same model decides otherwise from the words alone."""

from __future__ import annotations

import pandas as pd

from speechlasso.evaluation.without_audio import COLUMN, EFFECT_COLUMNS, audio_effect
from speechlasso.files import write_parquet

# label, decided with audio, decided without; None where no such question was asked.
ROWS = [
    *[("a", "a", "a")] * 5,
    *[("a", "a", "b")] * 4,  # to right
    *[("a", "b", "a")] * 2,  # to wrong
    *[("a", "b", "c")] * 3,  # other
    *[("a", "b", "b")] * 6,
    *[("a", "b", None)] * 7,
]


def test_flips_and_which_way(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["label", "predicted", COLUMN])
    write_parquet(tmp_path / "both/predictions.parquet", frame)
    write_parquet(tmp_path / "text/predictions.parquet", frame.drop(columns=COLUMN))
    index = [
        {"arm": "text_only", "fold": "01", "seed": 1, "predictions": "text"},
        {"arm": "lasso", "fold": "01", "seed": 2, "predictions": "both"},
    ]
    table = audio_effect(index, tmp_path)
    assert list(table) == EFFECT_COLUMNS
    assert table.to_numpy().tolist() == [["lasso", "01", 2, 20, 9 / 20, 4 / 20, 2 / 20, 3 / 20]]
    assert audio_effect(index[:1], tmp_path).columns.tolist() == EFFECT_COLUMNS
