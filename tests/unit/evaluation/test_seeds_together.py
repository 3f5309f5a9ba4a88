"""Seeds that decide together: by mean probability and by vote, in each fold of every arm."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss

from speechlasso.evaluation.cards import USUAL
from speechlasso.evaluation.run_predictions import read_test_rows
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.seed_average import is_ensemble, seeds_together, single, voted
from speechlasso.evaluation.summary import stacked, summary_table, with_chosen
from speechlasso.files import write_json, write_parquet

CLASSES = ["a", "b", "c"]


@given(st.integers(0, 9_999), st.integers(1, 5), st.booleans())
def test_most_votes_win_and_equally_many_are_decided_by_the_mean_probability(seed, n, has_ties):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"id": range(12), "split": "test", "label": rng.choice(CLASSES, 12)})
    drawn = rng.dirichlet(np.ones(3) * (1 if has_ties else 0.2), (n, 12))
    frames = [predictions_frame(rows, each, CLASSES) for each in drawn]
    # No file promises an order of rows.
    shuffled = [frames[0], *(frame.sample(frac=1, random_state=seed) for frame in frames[1:])]
    found = voted(shuffled, [None] * n)
    mean = drawn.mean(axis=0)
    for row in range(12):
        votes = Counter(frame["predicted"][row] for frame in frames)
        most = [name for name in CLASSES if votes[name] == max(votes.values())]
        expected = max(most, key=lambda name: mean[row, CLASSES.index(name)])
        assert found["predicted"][row] == expected
    np.testing.assert_allclose(found[["p_a", "p_b", "p_c"]], mean)


def test_each_votes_by_its_own_threshold_and_ties_are_the_averages():
    rows = pd.DataFrame({"id": ["u", "v"], "split": "test", "label": ["b", "a"]})
    thresholds = [{"label": "b", "probability": value} for value in (0.1, 0.2, 0.6)]
    of_b = [(0.15, 0.05), (0.25, 0.1), (0.5, 0.9)]
    frames = [
        predictions_frame(
            rows, np.stack([1 - np.array(p), p], axis=1), ["a", "b"], threshold=threshold
        )
        for p, threshold in zip(of_b, thresholds, strict=True)
    ]
    # The likeliest class would be a for all three of u.
    assert voted(frames, thresholds)["predicted"].tolist() == ["b", "a"]
    # One to one on v: 0.475 is above the mean threshold, 0.35, though below one half.
    assert voted(frames[::2], thresholds[::2])["predicted"].tolist() == ["a", "b"]


@pytest.fixture
def index(tmp_path):
    """Two arms of two seeds in two folds, and one arm of one."""
    rng = np.random.default_rng(1)
    runs = []
    for arm, seeds in (("x", (1, 2)), ("y", (1, 2)), ("once", (1,))):
        for fold in ("01", "2"):
            rows = pd.DataFrame({"id": [f"{fold}-{i}" for i in range(30)]})
            rows["split"] = np.repeat(["train", "test"], 15)
            rows["label"] = np.resize(CLASSES, 30)
            write_parquet(tmp_path / f"m{fold}/manifest.parquet", rows[["id"]])
            for seed in seeds:
                frame = predictions_frame(rows, rng.dirichlet(np.ones(3), 30), CLASSES)
                folder = f"{arm}-{fold}-{seed}"
                write_parquet(tmp_path / folder / "predictions.parquet", frame)
                write_json(tmp_path / folder / "training.json", {})
                write_json(tmp_path / folder / "spec.json", {"settings": {"positive_label": "b"}})
                parts = dict.fromkeys(("predictions", "training", "evaluation"), folder)
                run = {"arm": arm, "fold": fold, "seed": seed, "manifest": f"m{fold}"}
                runs.append(run | parts)
    return pd.DataFrame(runs)


def predicted(tmp_path, run):
    frame = pd.read_parquet(tmp_path / run["predictions"] / "predictions.parquet")
    return frame[frame["split"] == "test"].reset_index(drop=True)


def test_every_arm_of_several_seeds_is_scored_in_each_fold(index, tmp_path):
    runs, test_rows = seeds_together(index, tmp_path)
    assert runs[["arm", "fold"]].to_numpy().tolist() == [
        [f"{arm}, seeds {kind}", fold]
        for arm in ("x", "y")
        for fold in ("01", "2")
        for kind in ("averaged", "voted")
    ]
    assert set(runs["seed"]) == {"all"} and set(runs["split"]) == {"test"}
    assert set(runs["n_seeds"]) == {2} and set(runs["n_examples"]) == {15}
    members = [predicted(tmp_path, run) for run in index[:2].to_dict("records")]
    columns = ["p_a", "p_b", "p_c"]
    mean = np.mean([frame[columns].to_numpy() for frame in members], axis=0)
    truth = members[0]["label"]
    averaged, by_vote = (runs.iloc[number] for number in (0, 1))
    expected = np.array(CLASSES)[mean.argmax(axis=1)]
    assert averaged["accuracy"] == pytest.approx(accuracy_score(truth, expected))
    assert averaged["loss"] == pytest.approx(log_loss(truth, mean, labels=CLASSES))
    # A vote has no probabilities of its own.
    assert by_vote["loss"] == averaged["loss"] and by_vote["roc_auc"] == averaged["roc_auc"]
    alone = test_rows["once, seeds averaged", "2", "all"].predictions
    pd.testing.assert_frame_equal(
        alone, read_test_rows(index, tmp_path)["once", "2", "1"].predictions
    )


def test_they_have_rows_of_their_own_in_the_summary(index, tmp_path):
    together, test_rows = seeds_together(index, tmp_path)
    made = pd.DataFrame(
        [
            {**run, "split": split, "uar": 0.5, "n_examples": n, "chosen": "", "chosen_on": "z"}
            for run in index[["arm", "fold", "seed"]].to_dict("records")
            for split, n in (("train", 30), ("test", 15))
        ]
    )
    everyone = pd.concat([made, together.assign(chosen="", chosen_on="z")])
    summary = summary_table(everyone, {}).set_index(["arm", "metric"])
    row = summary.loc[("x, seeds voted", "uar")]
    scores = together.set_index("arm").loc["x, seeds voted", "uar"]
    assert row["mean"] == pytest.approx(scores.mean())
    assert (row["n"], row["n_seeds"], row["interval"]) == (2, 2, "corrected t over 2 folds")
    assert np.isnan(row["seed_sd"]) and row["chosen_on"] == "z" and row["ci_low"] < row["mean"]
    of_fold = everyone[everyone["fold"] == "01"]
    summary = summary_table(of_fold, test_rows | read_test_rows(index, tmp_path))
    row = summary.set_index(["arm", "metric"]).loc[("y, seeds averaged", "uar")]
    assert row["interval"] == "bootstrap over 15 rows" and row["ci_low"] < row["mean"]


def test_an_arm_that_validation_chose_has_the_seeds_of_those_behind_it(index, tmp_path):
    chosen = pd.DataFrame(
        [
            {"arm": "best", "chosen": arm, "fold": fold, "seed": seed, "split": split}
            for arm, fold, seed in (("x", "01", 1), ("y", "01", 2), ("y", "2", 1), ("y", "2", 2))
            for split in ("validation", "test")
        ]
    )
    both = with_chosen(index, chosen)
    assert len(both) == len(index) + 4
    of_best = both[both["arm"] == "best"].set_index(["fold", "seed"])["predictions"]
    assert of_best.to_dict() == {
        ("01", 1): "x-01-1",
        ("01", 2): "y-01-2",
        ("2", 1): "y-2-1",
        ("2", 2): "y-2-2",
    }
    runs, _ = seeds_together(both, tmp_path)
    scores = runs.set_index(["arm", "fold"])["loss"]
    best, y = "best, seeds averaged", "y, seeds averaged"
    assert scores[best, "2"] == scores[y, "2"] and scores[best, "01"] != scores[y, "01"]
    assert with_chosen(index, chosen[:0]).equals(index)


def test_names_tell_whose_seeds_they_are():
    assert [single(f"x[alpha=1], seeds {kind}") for kind in ("averaged", "voted")] == [
        "x[alpha=1]"
    ] * 2
    assert single("x") == "x" and not is_ensemble("x") and is_ensemble("x, seeds voted")


def test_without_several_seeds_an_arm_of_one_fold_keeps_its_interval(index, tmp_path):
    once = index[(index["arm"] == "once") & (index["fold"] == "2")]
    together, test_rows = seeds_together(once[once["seed"] != 1], tmp_path)
    assert together.empty
    made = pd.DataFrame(
        {
            "arm": "once",
            "fold": "2",
            "seed": [1, 1],
            "split": ["train", "test"],
            **dict.fromkeys([*USUAL, "cut_share"], 0.5),
            "n_examples": 15,
            "chosen": "",
            "chosen_on": "z",
        }
    )
    everyone = stacked(made, together.assign(chosen="", chosen_on="z"))
    summary = summary_table(everyone, test_rows | read_test_rows(once, tmp_path))
    assert summary.set_index("metric").loc["uar", "interval"] == "bootstrap over 15 rows"
