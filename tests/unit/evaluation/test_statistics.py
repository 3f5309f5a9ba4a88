"""Intervals against their closed form, and what makes them wider or narrower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.run_predictions import make_test_rows
from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.statistics import (
    Statistics,
    bootstrap_error,
    fold_error,
    margin_of,
)
from speechlasso.evaluation.summary import chosen_on_validation, summary_table

CLASSES = ["a", "b"]


def test_the_interval_over_folds_is_the_corrected_resampled_t():
    # sd 1, three folds, test rows half as many as training rows; t(0.975, 2) = 4.302653.
    error = fold_error(np.array([1.0, 2.0, 3.0]), test_to_train=0.5)
    assert margin_of(error, 3) == pytest.approx(4.302653 * np.sqrt(1 / 3 + 0.5), rel=1e-6)
    # Without shared training rows it is the ordinary one.
    scores = np.random.default_rng(0).random(7)
    low, high = stats.t.interval(0.95, 6, scores.mean(), stats.sem(scores))
    assert margin_of(fold_error(scores, 0.0), 7) == pytest.approx((high - low) / 2)
    assert np.isnan(margin_of(fold_error(np.array([1.0]), 0.1), 1))


def test_the_interval_of_a_bootstrapped_mean_is_the_t_interval_of_its_units():
    values = np.random.default_rng(0).normal(size=6)
    drawn = np.random.default_rng(1).integers(6, size=(200_000, 6))
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    error = bootstrap_error(values[drawn].mean(axis=1), n_units=6)
    assert margin_of(error, 6) == pytest.approx((high - low) / 2, rel=0.01)
    assert np.isnan(margin_of(bootstrap_error(np.ones(10), n_units=1), 1))


def made_runs(n_folds, seeds, n_copies=1):
    """Runs of two arms, and their test rows, of groups of four rows; sizes 80, 20 and 20."""
    runs, test_rows = [], {}
    for fold in range(n_folds):
        rows = pd.DataFrame({"id": [f"{fold}-{i:03}" for i in range(120)]})
        rows["split"] = np.repeat(["train", "validation", "test"], [80, 20, 20])
        rng = np.random.default_rng(fold)
        rows["label"] = rng.choice(CLASSES, 120)
        groups = pd.Series(np.arange(120) // 4, index=rows["id"]).astype(str)
        for arm in ("x[alpha=1]", "x[alpha=2]"):
            for seed in range(seeds):
                probabilities = rng.dirichlet(np.ones(2), 120)
                frame = predictions_frame(rows, probabilities, CLASSES)
                splits = evaluate(frame, None)["splits"]
                for copy in range(n_copies):
                    run = {"arm": arm, "fold": str(fold), "seed": seed + copy * seeds}
                    runs += [{**run, "split": split, **scores} for split, scores in splits.items()]
                    key = arm, str(fold), str(run["seed"])
                    test_rows[key] = make_test_rows(frame, groups, None)
    return pd.DataFrame(runs).assign(chosen="", chosen_on="validation rows"), test_rows


def row_of(summary, arm="x[alpha=1]", metric="uar"):
    return summary.set_index(["arm", "metric"]).loc[(arm, metric)]


def test_folds_are_the_unit_and_seeds_are_averaged_first():
    runs, _ = made_runs(n_folds=5, seeds=3)
    test = runs[(runs["split"] == "test") & (runs["arm"] == "x[alpha=1]")]
    by_fold = test.groupby("fold")["uar"].mean()
    row = row_of(summary_table(runs))
    assert row["n"] == 5 and row["interval"] == "corrected t over 5 folds"
    assert row["mean"] == pytest.approx(by_fold.mean())
    assert row["sd"] == pytest.approx(by_fold.std())
    margin = stats.t.ppf(0.975, 4) * by_fold.std() * np.sqrt(1 / 5 + 20 / 80)
    assert row["ci_high"] - row["mean"] == pytest.approx(margin)
    assert row["seed_sd"] == pytest.approx(np.sqrt(test.groupby("fold")["uar"].var().mean()))


@pytest.mark.parametrize("n_folds", [1, 4])
def test_copies_of_a_seed_make_nothing_surer(n_folds):
    once = row_of(summary_table(*made_runs(n_folds, seeds=1)))
    thrice = row_of(summary_table(*made_runs(n_folds, seeds=1, n_copies=3)))
    shown = ["mean", "n", "ci_low", "ci_high"]
    assert thrice[shown].tolist() == pytest.approx(once[shown].tolist())
    assert once[["ci_low", "ci_high"]].notna().all()
    assert (once["n_seeds"], thrice["n_seeds"]) == (1, 3)
    assert np.isnan(once["seed_sd"]) and thrice["seed_sd"] == 0


def test_of_one_fold_groups_are_resampled():
    runs, test_rows = made_runs(n_folds=1, seeds=2)
    row = row_of(summary_table(runs, test_rows), metric="accuracy")
    assert row["interval"] == "bootstrap over 5 groups, 20 rows" and row["n"] == 1
    right = [
        (rows.predictions["label"] == rows.predictions["predicted"]).to_numpy(dtype=float)
        for (arm, _, _), rows in test_rows.items()
        if arm == "x[alpha=1]"
    ]
    of_group = np.mean(right, axis=0).reshape(5, 4).mean(axis=1)
    low, high = stats.t.interval(0.95, 4, of_group.mean(), stats.sem(of_group))
    assert row["ci_low"] == pytest.approx(max(low, 0), abs=0.02)
    assert row["ci_high"] == pytest.approx(min(high, 1), abs=0.02)


def test_scores_of_rankings_have_a_skewed_interval_over_one_test_part():
    runs, test_rows = made_runs(n_folds=1, seeds=2)
    ranked = {key: replace(rows, positive_label="a") for key, rows in test_rows.items()}
    for (arm, fold, seed), rows in ranked.items():
        scores = evaluate(rows.predictions, "a")["splits"]["test"]
        of_run = (runs["arm"] == arm) & (runs["fold"] == fold) & (runs["seed"].astype(str) == seed)
        runs.loc[of_run, "roc_auc"] = scores["roc_auc"]
    found = Statistics(runs, ranked)
    score = found.score("x[alpha=1]", "roc_auc")
    low, high = score.interval
    odds = np.array([low, score.mean, high]) / (1 - np.array([low, score.mean, high]))
    assert odds[1] / odds[0] == pytest.approx(odds[2] / odds[1])
    # On the logit scale: t(4 degrees of freedom) standard errors, by the delta method.
    error = score.error / score.mean / (1 - score.mean)
    assert np.log(odds[2] / odds[1]) == pytest.approx(stats.t.ppf(0.975, 4) * error)
    row = row_of(summary_table(runs, ranked), metric="roc_auc")
    assert row[["ci_low", "ci_high"]].tolist() == pytest.approx([low, high])
    # A difference is not skewed, nor is a score over folds.
    difference = found.difference("x[alpha=1]", "x[alpha=2]", "roc_auc")
    for estimate in (difference, Statistics(made_runs(3, 1)[0]).score("x[alpha=1]", "uar")):
        assert sum(estimate.interval) / 2 == pytest.approx(estimate.mean)


def test_differences_of_one_fold_are_paired():
    runs, test_rows = made_runs(n_folds=1, seeds=1)
    # The second arm is the first but for a row: their difference is far surer than either.
    first = TestRows(test_rows["x[alpha=1]", "0", "0"].predictions, None, None)
    flipped = first.predictions.copy()
    flipped.loc[0, "predicted"] = "a" if flipped.loc[0, "predicted"] == "b" else "b"
    margins = []
    for second in (flipped, first.predictions):
        pair = {
            ("x[alpha=1]", "0", "0"): first,
            ("x[alpha=2]", "0", "0"): TestRows(second, None, None),
        }
        found = Statistics(runs, pair)
        margins.append(found.difference("x[alpha=2]", "x[alpha=1]", "accuracy").margin)
    assert 0 < margins[0] < found.score("x[alpha=1]", "accuracy").margin / 2
    assert np.isnan(margins[1]), "an arm differs from itself by nothing, in every resample"


def test_an_arm_of_one_fold_among_several_has_no_interval_and_none_shared_no_difference():
    runs, _ = made_runs(n_folds=2, seeds=1)
    runs = runs[(runs["arm"] == "x[alpha=1]") == (runs["fold"] == "0")]
    found = Statistics(runs)
    for arm in ("x[alpha=1]", "x[alpha=2]"):
        score = found.score(arm, "uar")
        assert (score.n, found.method(arm)) == (1, "")
        assert np.isnan([score.margin, score.sd]).all() and 0 <= score.mean <= 1
    difference = found.difference("x[alpha=1]", "x[alpha=2]", "uar")
    assert difference.n == 0
    assert np.isnan([difference.mean, difference.sd, difference.margin]).all()


def test_an_arm_chosen_on_validation_has_the_rows_of_the_chosen():
    runs, test_rows = made_runs(n_folds=1, seeds=2)
    chosen = chosen_on_validation(runs, "uar")
    summary = summary_table(pd.concat([runs, chosen]), test_rows)
    behind = chosen.drop_duplicates("seed").set_index("seed")["chosen"]
    expected = Statistics(
        runs.merge(chosen[["chosen", "seed"]].drop_duplicates(), on="seed").assign(arm="one"),
        {("one", "0", str(seed)): test_rows[arm, "0", str(seed)] for seed, arm in behind.items()},
    )
    row = row_of(summary, "x[alpha chosen on validation]", "accuracy")
    margin = expected.score("one", "accuracy").margin
    assert row["ci_high"] - row["mean"] == pytest.approx(min(margin, 1 - row["mean"]))


def test_a_perfect_score_is_not_taken_for_certain():
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(30)], "label": ["a", "b"] * 15})
    rows["split"] = np.repeat(["train", "validation", "test"], 10)
    frame = predictions_frame(rows, np.array([[0.9, 0.1], [0.1, 0.9]] * 15), CLASSES)
    splits = evaluate(frame, None)["splits"]
    for folds in (["0"], ["0", "1"]):
        runs = pd.DataFrame(
            {"arm": "x", "fold": fold, "seed": 1, "split": split, **scores}
            for fold in folds
            for split, scores in splits.items()
        ).assign(chosen_on="validation rows")
        row = row_of(summary_table(runs, {("x", "0", "1"): make_test_rows(frame, None, None)}), "x")
        assert row["mean"] == 1 and np.isnan(row["ci_low"]) and np.isnan(row["ci_high"])


def test_equal_differences_in_all_folds_are_not_taken_for_certain():
    scores = {"x": [0.5, 0.75, 0.5], "y": [0.25, 0.5, 0.25]}
    runs = pd.DataFrame(
        {"arm": arm, "fold": str(fold), "seed": 1, "split": split, "n_examples": 20, "uar": score}
        for arm, of_arm in scores.items()
        for fold, score in enumerate(of_arm)
        for split in ("train", "test")
    )
    found = Statistics(runs).difference("x", "y", "uar")
    assert found.mean == 0.25 and np.isnan(found.margin)
