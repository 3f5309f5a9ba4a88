"""Verdicts against SciPy and statsmodels, and what their sentences say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from speechlasso.evaluation.run_predictions import make_test_rows
from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.summary import chosen_on_validation, read_table
from speechlasso.evaluation.verdicts import (
    VERDICT_COLUMNS,
    compared_arms,
    holm,
    mcnemar,
    p_value,
    probabilities,
    verdict,
    verdict_table,
)
from speechlasso.files import write_csv

CLASSES = ["a", "b"]
shares = st.floats(0, 1)


@given(st.lists(shares | st.just(0.01), min_size=1, max_size=9), st.integers(0, 3))
def test_holms_correction_is_that_of_statsmodels(p_values, n_missing):
    found = holm(np.array([*p_values, *[np.nan] * n_missing]))
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(found[: len(p_values)], expected, rtol=1e-12)
    assert np.isnan(found[len(p_values) :]).all()


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_test_is_the_exact_one_of_statsmodels(one, other):
    if one + other:
        expected = statsmodels_mcnemar([[7, one], [other, 7]], exact=True).pvalue
        assert mcnemar(one, other) == pytest.approx(expected)
    assert mcnemar(0, 0) == 1


@given(st.integers(0, 999), st.integers(3, 12), st.floats(0, 0.2))
def test_without_shared_training_rows_it_is_the_paired_t_test_of_scipy(seed, n, margin):
    gains = np.random.default_rng(seed).normal(0.03, 0.1, n)
    error, mean = stats.sem(gains), gains.mean()
    assert p_value(mean, error, n) == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
    worse, equal, better = probabilities(mean, error, n, margin)
    posterior = stats.t(n - 1, loc=mean, scale=error)
    assert worse == pytest.approx(posterior.cdf(-margin))
    assert equal == pytest.approx(posterior.cdf(margin) - posterior.cdf(-margin), abs=1e-9)
    assert better == pytest.approx(posterior.sf(margin))


@pytest.mark.parametrize(
    ("gain", "p_holm", "p_equal", "expected"),
    [
        (0.1, 0.049, 0.1, "better"),
        (-0.1, 0.049, 0.1, "worse"),
        (0.001, 0.3, 0.96, "practically equal"),
        (0.001, 0.04, 0.99, "better"),
        (0.1, 0.05, 0.94, "undecided"),
        (0.1, np.nan, np.nan, "too little data"),
    ],
)
def test_a_verdict_is_of_what_is_sure(gain, p_holm, p_equal, expected):
    assert verdict(gain, p_holm, p_equal) == expected


def made_experiment(hits, n_folds=4, n_rows=40, n_groups=8, seeds=(1,)):
    """Runs of arms that are right about as often as told, and what they predict."""
    runs, test_rows = [], {}
    for fold in map(str, range(n_folds)):
        rows = pd.DataFrame({"id": [f"{fold}-{i:03}" for i in range(n_rows)], "split": "test"})
        rows["label"] = np.resize(CLASSES, n_rows)
        groups = pd.Series(np.arange(n_rows) % n_groups, index=rows["id"]) if n_groups else None
        for number, (arm, share) in enumerate(hits.items()):
            for seed in seeds:
                rng = np.random.default_rng([number, int(fold), seed])
                of_truth = np.where(rng.random(n_rows) < share, 0.8, 0.3)
                of_b = np.where(rows["label"] == "b", of_truth, 1 - of_truth)
                frame = predictions_frame(rows, np.stack([1 - of_b, of_b], axis=1), CLASSES)
                scores = evaluate(frame, None)["splits"]["test"]
                run = {"arm": arm, "fold": fold, "seed": seed, "split": "test", **scores}
                runs += [run, run | {"split": "train", "n_examples": 3 * n_rows}]
                made = make_test_rows(frame, groups, None)
                test_rows[arm, fold, str(seed)] = made
                test_rows[f"{arm}, seeds averaged", fold, "all"] = made
    return pd.DataFrame(runs).assign(chosen=""), test_rows


HITS = {"words": 0.6, "both": 0.9, "noise": 0.62, "copy": 0.6}


def of_arm(table, arm):
    return table.set_index("arm").loc[arm]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_over_folds_it_is_the_corrected_t_test(metric):
    runs, test_rows = made_experiment(HITS, n_rows=200)
    table = verdict_table(runs, test_rows, "words", metric, margin=0.02)
    assert list(table) == VERDICT_COLUMNS and list(table["arm"]) == ["both", "noise", "copy"]
    by_fold = runs[runs["split"] == "test"].pivot(index="fold", columns="arm", values=metric)
    difference = by_fold["both"] - by_fold["words"]
    error = difference.std() * np.sqrt(1 / 4 + 200 / 600)
    posterior = stats.t(3, loc=difference.mean(), scale=error)
    row = of_arm(table, "both")
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["p_value"] == pytest.approx(2 * stats.t(3).sf(abs(difference.mean()) / error))
    assert row["effect_size"] == pytest.approx(difference.mean() / difference.std())
    low, high = posterior.interval(0.95)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([max(low, -1), min(high, 1)])
    below, above = posterior.cdf(-0.02), posterior.sf(0.02)
    is_better_below = metric == "loss"
    assert row["p_better"] == pytest.approx(below if is_better_below else above)
    assert row["p_worse"] == pytest.approx(above if is_better_below else below)
    assert row[["p_worse", "p_equal", "p_better"]].sum() == pytest.approx(1)
    assert table["p_holm"].tolist() == pytest.approx(
        multipletests(table["p_value"], method="holm")[1]
    )
    assert row["n"] == 4 and row["interval"] == "corrected t over 4 folds"
    assert row["verdict"] == "better"


def test_over_one_part_it_is_the_paired_bootstrap_with_students_t():
    runs, test_rows = made_experiment(HITS, n_folds=1, n_rows=160)
    row = of_arm(verdict_table(runs, test_rows, "words", "accuracy", 0.01), "both")
    right = {
        arm: (rows.predictions["label"] == rows.predictions["predicted"]).to_numpy(dtype=float)
        for (arm, _, seed), rows in test_rows.items()
        if seed == "1"
    }
    groups = (right["both"] - right["words"]).reshape(-1, 8).mean(axis=0)
    expected = stats.ttest_1samp(groups, 0)
    assert row["difference"] == pytest.approx(groups.mean())
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=0.5)
    assert row["effect_size"] == pytest.approx(groups.mean() / groups.std(ddof=1), rel=0.05)
    interval = expected.confidence_interval()
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(list(interval), abs=0.01)
    alone = ((right["both"] > right["words"]).sum(), (right["both"] < right["words"]).sum())
    assert (row["mcnemar_arm_alone"], row["mcnemar_reference_alone"]) == alone
    assert row["mcnemar_p"] == stats.binomtest(alone[0], sum(alone)).pvalue


def test_mcnemars_rows_are_those_of_all_folds_and_of_averaged_seeds():
    runs, test_rows = made_experiment(HITS, n_folds=3, seeds=(1, 2))
    right = {
        arm: np.concatenate(
            [
                (rows.predictions["label"] == rows.predictions["predicted"]).to_numpy()
                for (name, _, _), rows in test_rows.items()
                if name == f"{arm}, seeds averaged"
            ]
        )
        for arm in ("both", "words")
    }
    row = of_arm(verdict_table(runs, test_rows, "words", "accuracy", 0.01), "both")
    assert row["mcnemar_arm_alone"] == (right["both"] & ~right["words"]).sum()
    assert row["mcnemar_reference_alone"] == (right["words"] & ~right["both"]).sum()
    assert row["n_seeds"] == 2


def sentences(hits, metric="accuracy", margin=0.01, reference="words", **made):
    runs, test_rows = made_experiment(hits, **made)
    table = verdict_table(runs, test_rows, reference, metric, margin)
    return table, table["sentence"].tolist()


def test_sentences_say_in_points_how_much_better_on_what():
    table, (told,) = sentences({"words": 0.5, "both": 0.9}, n_folds=1, n_rows=160, seeds=(1, 2))
    row = table.iloc[0]
    low, high = 100 * row["ci_low"], 100 * row["ci_high"]
    assert told == (
        f"both is better than words by {100 * row['difference']:.1f} points of accuracy "
        f"(95 % interval {low:.1f} to {high:.1f}; 2 seeds, one test part of 160 rows of 8 groups; "
        "Holm p < 0.001)"
    )
    table, (told,) = sentences({"words": 0.9, "none": 0.5}, n_groups=None)
    row = table.iloc[0]
    assert told == (
        f"none is worse than words by {-100 * row['difference']:.1f} points of accuracy (95 % "
        f"interval {-100 * row['ci_high']:.1f} to {-100 * row['ci_low']:.1f}; 1 seed, 4 folds of "
        "160 test rows in all; Holm p < 0.001)"
    )


@pytest.mark.parametrize(("better", "sign"), [("both", 1), ("words", -1)])
def test_a_few_groups_that_agree_are_told_beside_what_rows_give(better, sign):
    # In each group three rows more are right by one arm; in the first, one more still.
    runs, test_rows = made_experiment({"words": 0, "both": 0}, n_folds=1, n_rows=80, n_groups=4)
    other = {"both": "words", "words": "both"}[better]
    for key, made in test_rows.items():
        number = np.arange(80) // 4
        right = (number < 10) | ((number < 14) if key[0].startswith(better) else (number == 14))
        right &= ~((number == 0) & key[0].startswith(other) & (np.arange(80) == 0))
        labels = made.predictions["label"]
        predicted = labels.where(right, labels.map({"a": "b", "b": "a"}))
        test_rows[key] = replace(made, predictions=made.predictions.assign(predicted=predicted))
    for arm in ("words", "both"):
        rows = test_rows[arm, "0", "1"].predictions
        runs.loc[runs["arm"] == arm, "accuracy"] = (rows["label"] == rows["predicted"]).mean()
    told = verdict_table(runs, test_rows, "words", "accuracy", 0.01).iloc[0]
    alone = {key: replace(rows, groups=None) for key, rows in test_rows.items()}
    of_rows = verdict_table(runs, alone, "words", "accuracy", 0.01).iloc[0]
    low, high = sorted((100 * sign * of_rows["ci_low"], 100 * sign * of_rows["ci_high"]))
    chance = "80 rows of 4 groups; so few groups may agree by chance, single rows give "
    assert f"{chance}{low:.1f} to {high:.1f}; Holm p" in told["sentence"]
    assert "by chance" not in of_rows["sentence"]


def test_losses_are_told_the_right_way_round_and_not_in_points():
    _, (told,) = sentences({"words": 0.5, "both": 0.9}, "loss", n_rows=400)
    assert told.startswith("both is better than words by 0.")
    assert " in loss (nats), where less is better (95 % interval 0." in told
    _, (told,) = sentences({"both": 0.9, "words": 0.5}, "loss", reference="both", n_rows=400)
    assert told.startswith("words is worse than both by 0.")


def test_what_cannot_be_told_is_said_with_what_can():
    table, told = sentences({"words": 0.6, "both": 0.62, "others": 0.63})
    row = table.iloc[0]
    assert row["verdict"] == "undecided"
    assert told[0].startswith(
        f"cannot tell both from words: difference between {100 * row['ci_low']:.1f} and "
        f"{100 * row['ci_high']:.1f} points of accuracy (95 % interval; 1 seed, 4 folds of"
    )


def test_one_of_several_that_alone_would_stand_out_is_not_said_to_be_better():
    hits = {"words": 0.6, "both": 0.75} | {f"x{number}": 0.6 for number in range(4)}
    table, told = sentences(hits, n_rows=200, n_folds=5)
    row = of_arm(table, "both")
    assert row["p_value"] < 0.05 < row["p_holm"]
    assert row["verdict"] == "undecided"
    assert "(95 % interval, beyond 0, but there are several comparisons; 1 seed" in told[0]


def test_equal_arms_are_said_to_be_within_the_margin():
    table, (told,) = sentences({"words": 0.6, "same": 0.6}, margin=0.3, n_rows=80)
    assert table["verdict"].item() == "practically equal"
    equal = table["p_equal"].item()
    assert told.startswith(
        f"same and words are practically equal, at most 30.0 points of accuracy apart with a "
        f"probability of {equal:.0%} (95 % interval -"
    )
    table, (told,) = sentences({"words": 0.5, "both": 0.9}, margin=0.9, n_rows=400)
    assert table["verdict"].item() == "better"
    assert " points of accuracy, within the margin of 90.0 (95 % interval" in told


@pytest.mark.parametrize(
    ("made", "missing"),
    [
        (
            {"n_folds": 2},
            "1 seed, 2 folds of 80 test rows in all, where at least 3 folds are needed",
        ),
        (
            {"n_folds": 1, "n_groups": 2},
            "1 seed, one test part of 40 rows of 2 groups, where at least 3 groups or rows to test "
            "on are needed",
        ),
    ],
)
def test_too_little_data_have_no_p_values_and_say_what_is_missing(made, missing):
    table, told = sentences({"words": 0.5, "both": 0.9, "none": 0.1}, **made)
    assert table.filter(regex="^p_|mcnemar_p").isna().all(axis=None)
    assert table[["difference", "mcnemar_arm_alone"]].notna().all(axis=None)
    assert set(table["verdict"]) == {"too little data"}
    assert told[0] == f"too little data to compare both with words: {missing}"


def test_arms_that_nothing_tells_apart_are_not_called_equal():
    for made, same in (({}, "fold"), ({"n_folds": 1}, "resample of the test part")):
        runs, test_rows = made_experiment({"words": 0.6, "both": 0.7}, **made)
        copies = {
            (arm.replace("words", "both"), *rest): rows
            for (arm, *rest), rows in test_rows.items()
            if arm.startswith("words")
        }
        words = runs[runs["arm"] == "words"]
        row = verdict_table(
            pd.concat([words, words.assign(arm="both")]), test_rows | copies, "words", "uar", 0.01
        ).iloc[0]
        assert row["verdict"] == "too little data" and np.isnan(row["p_value"])
        assert f": the difference is the same in every {same}; 1 seed" in row["sentence"]


def test_arms_without_a_common_fold_are_told():
    runs, test_rows = made_experiment({"words": 0.6, "both": 0.7}, n_folds=2)
    runs = runs[(runs["arm"] == "words") == (runs["fold"] == "0")]
    row = verdict_table(runs, test_rows, "words", "uar", 0.01).iloc[0]
    assert row["n"] == 0 and row["sentence"].endswith("words: no fold has this score of both")


def test_a_swept_arm_is_compared_as_the_one_that_validation_chose():
    arms = ["words", "x[alpha=1]", "x[alpha=2]", "s[speech_fraction=0.1]", "s[speech_fraction=1]"]
    rows = [
        {"arm": arm, "fold": "0", "seed": 1, "split": split, "uar": 0.5, "chosen": ""}
        for arm in arms
        for split in ("validation", "test")
    ]
    runs = pd.DataFrame(rows)
    runs = pd.concat([runs, chosen_on_validation(runs, "uar")])
    chosen = "x[alpha chosen on validation]"
    assert compared_arms(runs) == ["words", *arms[3:], chosen]
    runs = runs.assign(n_examples=9).replace({"split": {"validation": "train"}})
    for reference, named in ((arms[2], chosen), (arms[3], arms[3]), ("words", "words")):
        table = verdict_table(runs, {}, reference, "uar", 0.01)
        assert set(table["reference"]) == {named} and len(table) == 3


def test_an_experiment_of_one_arm_has_an_empty_table_that_can_be_read(tmp_path):
    runs, test_rows = made_experiment({"words": 0.6})
    write_csv(tmp_path / "verdicts.csv", verdict_table(runs, test_rows, "words", "uar", 0.01))
    read = read_table(tmp_path / "verdicts.csv")
    assert list(read) == VERDICT_COLUMNS and read.empty
