"""Tables over runs: what each cell is, on numbers that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from speechlasso.evaluation.cards import USUAL
from speechlasso.evaluation.summary import (
    CONFUSION_COLUMNS,
    RUN_COLUMNS,
    RunResult,
    best_first,
    chosen_among,
    chosen_on_validation,
    confusion_table,
    read_run,
    read_table,
    runs_table,
    score_lines,
    summary_table,
    with_interval,
)
from speechlasso.files import write_csv, write_json

# The best epoch is neither the first, nor the last, nor the one of the smallest number.
ADAPTATION = pd.DataFrame(
    {
        "epoch": [1, 0, 2, 3],
        "held_out_perplexity": [30.0, 90.0, 20.0, 25.0],
        "seconds": [2.0, 1.0, 2.0, 2.5],
        "best": [False, False, True, False],
    }
)
SCORES = dict.fromkeys(USUAL, 0.5)


def result(arm="lasso", *, selection=None, adaptation=None, **splits):
    splits = splits or {"test": {**SCORES, "confusion": [[1, 0], [0, 1]]}}
    metrics = {"classes": ["calm", "tense"], "splits": splits}
    return RunResult(arm, "03", 7, metrics, selection, {"train_seconds": 2.5}, adaptation)


def test_a_row_of_runs_has_the_columns_in_their_order_and_nothing_else():
    splits = {split: {"confusion": [], "accuracy": 0.25} for split in ("test", "train")}
    table = runs_table(
        [
            result("lm", selection={"tokens": [{}, {}]}, adaptation=ADAPTATION, **splits),
            result("bow"),
        ]
    )
    assert list(table.columns) == RUN_COLUMNS
    assert table["arm"].tolist() == ["lm", "lm", "bow"]
    assert table["split"].tolist() == ["test", "train", "test"]
    assert table["n_audio_tokens"].tolist() == [2, 2, 0]
    assert table["perplexity_before"].tolist()[:2] == [90, 90]
    assert table["perplexity_after"].tolist()[:2] == [20, 20]
    assert table["train_seconds"].tolist() == [2.5] * 3
    assert table["adapt_seconds"].tolist()[:2] == [7.5] * 2
    empty = ["perplexity_before", "perplexity_after", "adapt_seconds", "peak_memory_mb"]
    assert table.loc[2, empty].isna().all()
    assert table["chosen"].tolist() == [""] * 3
    assert set(table["chosen_on"]) == {"validation rows"}
    assert set(runs_table([result()], chosen_on="3 inner folds")["chosen_on"]) == {"3 inner folds"}


def test_sizes_are_whole_numbers_in_the_file_and_missing_where_an_old_training_does_not_say(
    tmp_path,
):
    sized = result("new")
    sized.training.update(trainable_parameters=22_713_216, mean_sequence_length=40.5)
    write_csv(tmp_path / "runs.csv", runs_table([result("old"), sized]))
    cells = pd.read_csv(tmp_path / "runs.csv", dtype=str, keep_default_na=False).set_index("arm")
    assert cells["trainable_parameters"].to_dict() == {"old": "", "new": "22713216"}
    assert cells["mean_sequence_length"].to_dict() == {"old": "", "new": "40.5"}
    read = read_table(tmp_path / "runs.csv")
    assert read["trainable_parameters"].dtype == "Int64"
    assert read["trainable_parameters"].isna().tolist() == [True, False]


def test_confusion_has_test_rows_by_class_and_predicted_class_without_zeros():
    splits = {
        "train": {"confusion": [[90, 91], [92, 93]]},
        "test": {"confusion": [[5, 0], [2, 3]]},
    }
    table = confusion_table([result(**splits)])
    assert list(table.columns) == CONFUSION_COLUMNS
    assert table.to_numpy().tolist() == [
        ["lasso", "03", 7, "calm", "calm", 5],
        ["lasso", "03", 7, "tense", "calm", 2],
        ["lasso", "03", 7, "tense", "tense", 3],
    ]


def test_a_run_is_read_from_the_folders_of_its_parts(tmp_path):
    write_json(tmp_path / "evaluation/metrics.json", {"classes": ["a"], "splits": {}})
    write_json(tmp_path / "select/selection.json", {"tokens": []})
    write_json(tmp_path / "training/training.json", {"C": 1, "environment": {"torch": "2.1"}})
    write_json(tmp_path / "adapt/spec.json", {"environment": {"torch": "2.0"}})
    ADAPTATION.to_csv(tmp_path / "adapt/training_log.csv", index=False)

    def read(*parts):
        return read_run("mine", "0", 1, **{part: str(tmp_path / part) for part in parts})

    adapted = read("evaluation", "training", "select", "adapt")
    assert (adapted.arm, adapted.fold, adapted.seed) == ("mine", "0", 1)
    assert adapted.metrics == {"classes": ["a"], "splits": {}}
    assert (adapted.selection, adapted.training["C"]) == ({"tokens": []}, 1)
    assert adapted.environment == {"torch": "2.1", "torch of the adaptation": "2.0"}
    pd.testing.assert_frame_equal(adapted.adaptation, ADAPTATION)
    text_only = read("evaluation", "training")
    assert text_only.environment == {"torch": "2.1"}
    assert text_only.selection is None and text_only.adaptation is None


def scored_runs(arms, metric="uar"):
    """Runs of (arm, fold, validation score, test score)."""
    return pd.DataFrame(
        [
            [arm, fold, 1, split, score, ""]
            for arm, fold, *scores in arms
            for split, score in zip(("validation", "test"), scores, strict=True)
        ],
        columns=["arm", "fold", "seed", "split", metric, "chosen"],
    )


def test_intervals_end_where_scores_do_and_those_of_losses_go_on():
    folds = {"0": (0.1, 3.0), "1": (0.9, 0.2), "2": (0.4, 1.1)}
    rows = [
        {"arm": arm, "fold": fold, "seed": 1, "split": split, "n_examples": size}
        | dict.fromkeys(USUAL, score)
        | {"cut_share": score, "loss": loss, "chosen_on": f"what chose {arm}"}
        for arm in ("b", "a")
        for fold, (score, loss) in folds.items()
        for split, size in (("train", 80), ("test", 20))
    ]
    summary = summary_table(pd.DataFrame(rows)).set_index(["arm", "metric"])
    assert list(dict.fromkeys(summary.index.get_level_values("arm"))) == ["b", "a"]
    assert summary.loc[("b", "uar"), ["ci_low", "ci_high"]].tolist() == [0, 1]
    assert summary.loc[("b", "uar"), "chosen_on"] == "what chose b"
    loss = summary.loc["b", "loss"]
    assert loss["ci_low"] == 0 and loss["ci_high"] > 3


@pytest.mark.parametrize(("metric", "best"), [("uar", ["4,8", "2,16"]), ("loss", ["2,16", "4,8"])])
def test_of_swept_arms_validation_chooses_in_each_fold(metric, best):
    runs = scored_runs(
        [
            ("z[alpha=4,rank=8]", "a", 0.9, 0.1),
            ("z[alpha=2,rank=16]", "a", 0.3, 0.2),
            ("z[alpha=4,rank=8]", "b", 0.3, 0.3),
            ("z[alpha=2,rank=16]", "b", 0.9, 0.4),
            ("k[alpha=1]", "a", 0.5, 0.6),
            ("not[swept]", "a", 1.0, 1.0),
            # How much speech there is, nobody chooses.
            ("s[speech_fraction=0.1]", "a", 0.5, 0.5),
            ("s[speech_fraction=1]", "a", 0.9, 0.9),
        ],
        metric,
    ).assign(cut_share=np.nan)
    chosen = chosen_on_validation(runs, metric)
    assert list(chosen.columns) == list(runs.columns)
    # By their names, and the rows of each as they were.
    names = ["k[alpha chosen on validation]", "z[alpha, rank chosen on validation]"]
    assert chosen["arm"].tolist() == [names[0]] * 2 + [names[1]] * 4
    test = chosen[(chosen["split"] == "test") & (chosen["arm"] == names[1])].set_index("fold")
    pairs = [f"z[alpha={alpha},rank={rank}]" for alpha, rank in (pair.split(",") for pair in best)]
    assert test["chosen"].to_dict() == dict(zip("ab", pairs, strict=True))
    expected = {"4,8": (0.1, 0.3), "2,16": (0.2, 0.4)}
    assert test[metric].tolist() == [expected[best[0]][0], expected[best[1]][1]]


def test_arms_that_are_chosen_among_share_a_name():
    runs = scored_runs([("x", "a", 0.2, 0.1), ("y", "a", 0.4, 0.3), ("z", "a", 0.9, 0.9)])
    chosen = chosen_among(runs, ["x", "y"], "uar")
    assert chosen["arm"].unique().tolist() == ["x or y, chosen on validation"]
    assert chosen["chosen"].unique().tolist() == ["y"]
    assert chosen["uar"].tolist() == [0.4, 0.3]


def test_lines_of_arms_that_were_made_surer_in_several_ways():
    summary = pd.DataFrame(
        [
            ["bow", "uar", 0.5, 0.25, 0.75, "bootstrap over 9 rows", 1, np.nan],
            ["a long name", "uar", 0.625, np.nan, np.nan, "", 2, 0.125],
            ["bow", "loss", 9.0, 9.0, 9.0, "other", 1, np.nan],
        ],
        columns=["arm", "metric", "mean", "ci_low", "ci_high", "interval", "n_seeds", "seed_sd"],
    )
    assert score_lines(summary, "uar").splitlines() == [
        "arm          test uar [95 % interval: bootstrap over 9 rows], sd over seeds",
        "bow          0.500 [0.250, 0.750]",
        "a long name  0.625  0.125 over 2 seeds",
    ]
    assert score_lines(summary.iloc[[0]].assign(interval=""), "uar").splitlines()[0] == (
        "arm  test uar"
    )
    assert with_interval(0.5, np.nan, np.nan) == "0.500"
    lines = score_lines(summary, "uar")
    assert score_lines(summary.assign(chosen_on="validation rows"), "uar") == lines
    inner = score_lines(summary.assign(chosen_on="3 inner folds"), "uar")
    assert inner.startswith(f"{lines}\nSettings were chosen on 3 inner folds of all rows but")
    assert inner.count("\n") == lines.count("\n") + 1


@pytest.mark.parametrize(
    ("metric", "expected"), [("uar", ["b", "c", "a"]), ("loss", ["a", "b", "c"])]
)
def test_the_best_arm_is_that_of_the_best_score(metric, expected):
    other = "uar" if metric == "loss" else "loss"
    rows = [("a", metric, 0.2), ("b", metric, 0.7), ("c", metric, 0.7), ("c", other, 0.0)]
    assert best_first(pd.DataFrame(rows, columns=["arm", "metric", "mean"]), metric) == expected
    assert best_first(pd.DataFrame(columns=["arm", "metric", "mean"]), metric) == []
