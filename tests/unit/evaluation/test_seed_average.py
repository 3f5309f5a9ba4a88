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


def test_validation_rows_of_inner_folds_are_averaged_and_scored_beside_the_test_rows(
    tmp_path, index
):
    """The same utterance trains the model that is tested, and is validated on an inner fold."""
    inner = {"1": {"u": (0.8, 0.2), "v": (0.1, 0.7)}, "2": {"u": (0.4, 0.9), "v": (0.3, 0.5)}}
    for seed, probabilities in inner.items():
        own = pd.read_parquet(tmp_path / f"1-{seed}/predictions.parquet")
        trained = own.assign(id=["w", "x"], split="train")
        write_parquet(tmp_path / f"1-{seed}/predictions.parquet", pd.concat([own, trained]))
        for number, (name, of_b) in enumerate(probabilities.items()):
            split = ["validation", "train"] if number == 0 else ["train", "validation"]
            rows = pd.DataFrame({"id": ["w", "x"], "split": split, "label": ["b", "a"]})
            frame = predictions_frame(
                rows, np.stack([1 - np.array(of_b), of_b], axis=1), ["a", "b"]
            )
            write_parquet(tmp_path / f"{seed}-inner-{name}/predictions.parquet", frame)
    of_fold = index[(index["arm"] == "bow") & (index["fold"] == "1")]
    of_fold = of_fold.assign(
        inner_predictions_0=[f"{seed}-inner-u" for seed in of_fold["seed"]],
        inner_predictions_1=[f"{seed}-inner-v" for seed in of_fold["seed"]],
    )
    runs, test_rows = with_seeds_averaged(of_fold, "bow", tmp_path)
    scores = runs.set_index("split")
    assert scores["n_examples"].to_dict() == {"test": 2, "train": 2, "validation": 2}
    # Of w as the first inner fold has it, of x as the second has: means of both seeds.
    assert scores.loc["validation", "loss"] == pytest.approx(-np.log([0.6, 0.4]).mean())
    assert scores.loc["validation", "accuracy"] == 0.5
    assert test_rows["bow, seeds averaged", "1", "all"].predictions["id"].tolist() == ["u", "v"]


def test_an_arm_without_runs_is_refused(index, tmp_path):
    with pytest.raises(InputError, match="'lasso' has no runs of its own; average those that"):
        with_seeds_averaged(index, "lasso", tmp_path)
