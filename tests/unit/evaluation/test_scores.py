"""Scores against scikit-learn and by hand; tables against their definitions."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from speechlasso.errors import InputError
from speechlasso.evaluation.scores import (
    N_BINS,
    classification_scores,
    evaluate,
    predictions_frame,
)
from speechlasso.evaluation.summary import (
    RunResult,
    chosen_on_validation,
    runs_table,
    score_lines,
    summary_table,
)
from speechlasso.report.evidence import Evidence
from speechlasso.report.page import render_report

CLASSES = ["a", "b", "c"]


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 3))
def test_scores_equal_scikit_learn(seed, n, n_present):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_present, n)
    probabilities = rng.dirichlet(np.ones(3), n)
    predicted = probabilities.argmax(axis=1)
    scores = classification_scores(labels, probabilities, CLASSES, positive_label="b")
    assert scores["accuracy"] == pytest.approx((labels == predicted).mean())
    assert scores["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    assert scores["macro_f1_present"] == pytest.approx(
        metrics.f1_score(
            labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
        )
    )
    recalls = [(predicted[labels == c] == c).mean() for c in np.unique(labels)]
    assert scores["uar"] == pytest.approx(np.mean(recalls))
    assert scores["positive_f1"] == pytest.approx(
        metrics.f1_score(labels == 1, predicted == 1, zero_division=0)
    )
    assert scores["loss"] == pytest.approx(
        metrics.log_loss(labels, probabilities, labels=[0, 1, 2])
    )
    for average in ("micro", "weighted"):
        expected = metrics.f1_score(labels, predicted, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 3), st.booleans())
def test_scores_of_ranks_equal_scikit_learn(seed, n, n_present, has_ties):
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, n_present, n), rng.dirichlet(np.ones(3), n)
    if has_ties:
        probabilities = probabilities.round(1)
    scores = classification_scores(labels, probabilities, CLASSES, positive_label="b")
    positive, of_b = labels == 1, probabilities[:, 1]
    if positive.any():
        precision = metrics.average_precision_score(positive, of_b)
        assert scores["average_precision"] == pytest.approx(precision)
    else:
        assert scores["average_precision"] is None
    if positive.any() and not positive.all():
        assert scores["roc_auc"] == pytest.approx(metrics.roc_auc_score(positive, of_b))
    else:
        assert scores["roc_auc"] is None


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_the_calibration_error_is_that_of_bins_one_by_one(seed, n):
    rng = np.random.default_rng(seed)
    # Many lie on the edge of a bin, which belongs to the bin below it.
    first = rng.choice([*np.linspace(0, 1, N_BINS + 1), *rng.random(9)], n)
    probabilities = np.stack([first, 1 - first], axis=1)
    labels, predicted = rng.integers(0, 2, n), rng.integers(0, 2, n)
    confidence = np.where(predicted == 0, first, 1 - first)
    error = 0.0
    for low, high in pairwise(np.linspace(0, 1, N_BINS + 1)):
        inside = (confidence > low) & (confidence <= high) | ((low == 0) & (confidence == 0))
        if inside.any():
            right = (labels == predicted)[inside].mean()
            error += inside.mean() * abs(right - confidence[inside].mean())
    scores = classification_scores(labels, probabilities, ["a", "b"], predicted=predicted)
    assert scores["ece"] == pytest.approx(error)


def test_the_calibration_error_of_a_threshold_is_about_the_class_it_decides_on():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    decided = np.array([0, 1, 1])
    scores = classification_scores(np.array([0, 1, 0]), probabilities, ["a", "b"], None, decided)
    # 0.1 too low for the first, 0.6 too low for the second, 0.3 too high for the third.
    assert scores["ece"] == pytest.approx((0.1 + 0.6 + 0.3) / 3)


def test_one_stray_prediction_of_a_class_without_test_rows():
    labels = np.repeat([0, 1], 10)
    predicted = labels.copy()
    assert classification_scores(labels, np.eye(3)[predicted], CLASSES)["macro_f1"] == 1
    predicted[-1] = 2
    scores = classification_scores(labels, np.eye(3)[predicted], CLASSES)
    # F1 is 1 and 18 / 19; scikit-learn's mean has the 0 of the third class in it.
    assert scores["macro_f1_present"] == pytest.approx((1 + 18 / 19) / 2)
    assert scores["macro_f1"] == pytest.approx((1 + 18 / 19 + 0) / 3)


def test_an_unknown_positive_label_is_an_input_error():
    with pytest.raises(InputError, match=r"evaluate\.positive_label: 'd' .* one of a, b, c"):
        classification_scores(np.array([0]), np.eye(3)[:1], CLASSES, positive_label="d")


def make_predictions(seed=0, n=30):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "split": np.where(np.arange(n) < n / 2, "test", "train"),
            "label": rng.choice(CLASSES, n),
        }
    )
    cut = np.arange(n) == 0
    return predictions_frame(rows, rng.dirichlet(np.ones(3), n), CLASSES, cut=cut)


def test_evaluate_scores_each_split():
    predictions = make_predictions()
    found = evaluate(predictions, positive_label=None)
    test = predictions[predictions["split"] == "test"]
    assert set(found["splits"]) == {"train", "test"}
    scores = found["splits"]["test"]
    assert scores["n_examples"] == 15
    assert scores["cut_share"] == pytest.approx(1 / 15)
    assert scores["positive_f1"] is None
    assert scores["mean_text_tokens"] == scores["mean_audio_tokens"] == 0
    assert (
        scores["confusion"]
        == metrics.confusion_matrix(test["label"], test["predicted"], labels=CLASSES).tolist()
    )
    per_class = pd.DataFrame(scores["per_class"])
    assert per_class.pop("class").tolist() == CLASSES
    expected = metrics.precision_recall_fscore_support(
        test["label"], test["predicted"], labels=CLASSES, zero_division=0
    )
    assert list(per_class) == ["precision", "recall", "f1", "support"]
    np.testing.assert_allclose(per_class.to_numpy().T, np.array(expected))
    json.dumps(found, allow_nan=False)


def test_classes_of_one_row_or_none_are_scored_as_scikit_learn_does():
    for seed in range(8):
        predictions = make_predictions(seed, n=6)
        for split, scores in evaluate(predictions, positive_label="b")["splits"].items():
            rows = predictions[predictions["split"] == split]
            expected = metrics.precision_recall_fscore_support(
                rows["label"], rows["predicted"], labels=CLASSES, zero_division=0
            )
            by_class = pd.DataFrame(scores["per_class"]).drop(columns="class")
            np.testing.assert_allclose(by_class.to_numpy().T, np.array(expected))
            assert scores["positive_f1"] == pytest.approx(by_class["f1"][1])


def test_what_a_threshold_decided_is_scored_by_hand():
    labels, positive = list("aabbb"), np.array([0.1, 0.35, 0.4, 0.9, 0.2])
    predictions = predictions_frame(
        pd.DataFrame({"id": list("12345"), "split": "test", "label": labels}),
        np.stack([1 - positive, positive], axis=1),
        ["a", "b"],
        threshold={"label": "b", "probability": 0.3},
        n_text_tokens=[3, 4, 5, 6, 7],
        n_audio_tokens=[0, 0, 0, 0, 1],
    )
    assert predictions["predicted"].tolist() == list("abbba")
    scores = evaluate(predictions, positive_label="b")["splits"]["test"]
    assert scores["uar"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["positive_f1"] == pytest.approx(2 / 3)
    assert scores["confusion"] == [[1, 1], [1, 2]]
    assert scores["per_class"] == [
        {"class": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        {
            "class": "b",
            **dict.fromkeys(("precision", "recall", "f1"), pytest.approx(2 / 3)),
            "support": 3,
        },
    ]
    # Of probabilities, whatever was decided by them: 5 of 6 pairs are in order.
    assert scores["roc_auc"] == pytest.approx(5 / 6)
    assert scores["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert (scores["mean_text_tokens"], scores["mean_audio_tokens"]) == (5.0, 0.2)
    assert scores["cut_share"] == 0


def test_a_positive_class_that_neither_occurs_nor_is_predicted_scores_nothing():
    scores = classification_scores(np.array([0]), np.eye(3)[:1], CLASSES, positive_label="c")
    assert scores["positive_f1"] == 0
    rows = pd.DataFrame({"id": ["u"], "split": "test", "label": "a"})
    found = evaluate(predictions_frame(rows, np.eye(3)[:1], CLASSES), positive_label=None)
    last = found["splits"]["test"]["per_class"][2]
    assert last == {"class": "c", "precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_a_class_held_for_impossible_costs_much_but_not_infinitely_much():
    scores = classification_scores(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]), CLASSES)
    assert scores["loss"] == pytest.approx(-np.log(np.finfo(float).tiny) / 2)


def run_results():
    selection = {"tokens": [{"layer": layer} for layer in (0, 0, 2)]}
    return [
        RunResult(
            arm,
            "given",
            seed,
            evaluate(make_predictions(seed), None),
            selection if arm == "lasso" else None,
            {"train_seconds": 1.5},
        )
        for arm in ("text_only", "lasso")
        for seed in (1, 2)
    ]


def test_runs_and_summary_tables():
    runs = runs_table(run_results())
    assert len(runs) == 2 * 2 * 2
    assert runs.groupby("arm")["n_audio_tokens"].unique().map(list).to_dict() == {
        "lasso": [3],
        "text_only": [0],
    }
    summary = summary_table(runs)
    row = summary.set_index(["arm", "metric"]).loc["lasso", "uar"]
    values = runs.query("arm == 'lasso' and split == 'test'")["uar"]
    assert row["mean"] == pytest.approx(values.mean())
    assert row[["n", "n_seeds"]].tolist() == [1, 2]
    # Two seeds of one fold say nothing of other data: their spread stands apart.
    assert row["seed_sd"] == pytest.approx(values.std())
    assert row[["sd", "ci_low", "ci_high"]].isna().all()
    assert "positive_f1" not in set(summary["metric"])
    assert "train_seconds" not in set(summary["metric"]), "the summary must be reproducible"


def test_validation_chooses_among_swept_arms():
    scores = {  # alpha -> validation and test score of folds a and b
        "4": [(0.9, 0.1), (0.2, 0.5)],
        "8": [(0.3, 0.8), (0.7, 0.6)],
        "16": [(0.9, 0.3), (0.1, 0.9)],
    }
    rows = [
        [f"lasso[alpha={alpha}]", fold, 1, split, score]
        for alpha, folds in scores.items()
        for fold, pair in zip("ab", folds, strict=True)
        for split, score in zip(("validation", "test"), pair, strict=True)
    ]
    rows += [["text_only", "a", 1, "test", 0.4], ["text_only", "a", 1, "validation", 1.0]]
    runs = pd.DataFrame(rows, columns=["arm", "fold", "seed", "split", "uar"])
    chosen = chosen_on_validation(runs, "uar")
    assert set(chosen["arm"]) == {"lasso[alpha chosen on validation]"}
    test = chosen[chosen["split"] == "test"].set_index("fold")["uar"]
    assert test.to_dict() == {
        "a": 0.1,
        "b": 0.6,
    }  # of equal ones the first, whatever its test score
    assert len(chosen) == 4
    assert chosen_on_validation(runs[runs["arm"] == "text_only"], "uar").empty


def test_the_terminal_shows_a_line_per_arm():
    summary = summary_table(runs_table(run_results()))
    row = summary.set_index(["arm", "metric"]).loc["lasso", "uar"]
    lines = score_lines(summary, "uar").splitlines()
    assert len(lines) == 3
    assert lines[0] == "arm        test uar, sd over seeds"
    assert lines[2] == f"lasso      {row['mean']:.3f}  {row['seed_sd']:.3f} over 2 seeds"
    summary["interval"] = "corrected t over 5 folds"
    summary[["ci_low", "ci_high"]] = 0.25, 0.5
    lines = score_lines(summary, "uar").splitlines()
    assert (
        lines[0] == "arm        test uar [95 % interval: corrected t over 5 folds], sd over seeds"
    )
    assert lines[2].startswith(f"lasso      {row['mean']:.3f} [0.250, 0.500]  ")


@pytest.mark.slow
def test_the_report_is_one_self_contained_reproducible_page():
    results = run_results()
    runs = runs_table(results)
    evidence = Evidence("trial & error", runs, summary_table(runs), results)
    pages = [render_report(evidence).html for _ in range(2)]
    assert pages[0] == pages[1]
    assert pages[0].count("<script") == 1, "its own, which sorts tables"
    assert "src=" not in pages[0]
    assert "trial &amp; error" in pages[0]
    assert pages[0].count("<svg") == 5  # scores, costs, two confusion matrices, selected tokens


@pytest.mark.slow
def test_the_report_says_what_its_intervals_and_scores_are():
    results = run_results()
    runs = runs_table(results)
    summary = summary_table(runs)
    page = render_report(Evidence("trial", runs, summary, results)).html
    assert "95 % interval" not in page
    assert "macro_f1_present is the mean over classes that have test examples" in page
    row = summary["arm"].eq("lasso") & summary["metric"].eq("macro_f1_present")
    summary.loc[row, ["mean", "ci_low", "ci_high", "interval"]] = 0.5, 0.4, 0.7, "corrected t"
    page = render_report(Evidence("trial", runs, summary, results)).html
    assert "its 95 % interval (corrected t)" in page
    assert '<td class="number" data-key="0.5">0.500 [0.400, 0.700]</td>' in page
    spread = summary.set_index(["arm", "metric"]).loc[("lasso", "macro_f1"), "seed_sd"]
    assert ">macro F1, sd over seeds</th>" in page and f">{spread:.3f}</td>" in page


def test_validation_chooses_among_combinations():
    rows = [
        [f"lasso[alpha={alpha},rank={rank}]", "0", 1, split, score]
        for alpha, rank, validation, test in ((4, 8, 0.3, 0.9), (4, 16, 0.8, 0.2), (8, 8, 0.5, 0.7))
        for split, score in (("validation", validation), ("test", test))
    ]
    runs = pd.DataFrame(rows, columns=["arm", "fold", "seed", "split", "uar"])
    chosen = chosen_on_validation(runs, "uar")
    assert set(chosen["arm"]) == {"lasso[alpha, rank chosen on validation]"}
    assert chosen.set_index("split")["uar"].to_dict() == {"validation": 0.8, "test": 0.2}
