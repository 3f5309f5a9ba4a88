"""Probabilities averaged over seeds: each fold of one arm, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from speechlasso.errors import InputError
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.seed_average import with_seeds_averaged
from speechlasso.files import write_json, write_parquet

ROWS = pd.DataFrame({"id": ["u", "v"], "split": "test", "label": ["b", "a"]})
# Probability of b, of u and v.
PROBABILITIES = {("9", 1): (0.9, 0.2), ("1", 1): (0.4, 0.1), ("1", 2): (0.7, 0.3)}


@pytest.fixture
def index(tmp_path):
    write_parquet(tmp_path / "manifest/manifest.parquet", ROWS[["id"]].assign(group=["s", "t"]))
    write_json(tmp_path / "evaluate/spec.json", {"settings": {"positive_label": "b"}})
    write_json(tmp_path / "fit/training.json", {})
    runs = []
    for (fold, seed), of_b in PROBABILITIES.items():
        probabilities = np.stack([1 - np.array(of_b), of_b], axis=1)
        frame = predictions_frame(ROWS, probabilities, ["a", "b"])
        write_parquet(tmp_path / f"{fold}-{seed}" / "predictions.parquet", frame)
        run = {"arm": "bow", "fold": fold, "seed": seed, "predictions": f"{fold}-{seed}"}
        runs.append({**run, "training": "fit", "evaluation": "evaluate", "manifest": "manifest"})
    return pd.DataFrame([{**runs[0], "arm": "other", "predictions": "gone"}, *runs])


def test_folds_of_one_seed_and_of_several_come_back_in_their_order(index, tmp_path):
    runs, test_rows = with_seeds_averaged(index, "bow", tmp_path)
    assert runs[["arm", "fold", "seed", "split"]].to_numpy().tolist() == [
        ["bow, seeds averaged", "9", "all", "test"],
        ["bow, seeds averaged", "1", "all", "test"],
    ]
    losses = [-np.log([of_u, 1 - of_v]).mean() for of_u, of_v in ((0.9, 0.2), (0.55, 0.2))]
    assert runs["loss"].tolist() == pytest.approx(losses)
    assert runs["positive_f1"].tolist() == [1, 1]
    assert list(test_rows) == [(runs["arm"][0], fold, "all") for fold in ("9", "1")]
    for rows in test_rows.values():
        assert rows.groups.tolist() == ["s", "t"]
    assert rows.predictions["p_b"].tolist() == pytest.approx([0.55, 0.2])


def test_an_arm_without_runs_is_refused(index, tmp_path):
    with pytest.raises(InputError, match="'lasso' has no runs of its own; average those that"):
        with_seeds_averaged(index, "lasso", tmp_path)
