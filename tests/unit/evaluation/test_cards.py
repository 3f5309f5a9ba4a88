"""Metrics by their cards: this project's own, and those from outside of it."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.errors import InputError
from speechlasso.evaluation.bootstrap import TestRows, resampled_from_rows, resampled_scores
from speechlasso.evaluation.cards import METRICS, USUAL
from speechlasso.evaluation.scores import classification_scores, evaluate, predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.evaluation.statistics import bootstrap_error
from speechlasso.evaluation.summary import (
    RUN_COLUMNS,
    RunResult,
    chosen_among,
    runs_table,
    summary_table,
)
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.plugins import use_plugins

CLASSES = ["a", "b", "c"]
MODULE = """
import numpy as np
from speechlasso.evaluation.cards import MetricCard

def score(rows):
    {body}

CARD = MetricCard(name={name!r}, implementation=__name__, {options})
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Registers metrics from modules of a user's, for one test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(METRICS, "_cards", dict(METRICS._cards))
    monkeypatch.setattr(sys, "path", [*sys.path])
    modules = []

    def register(name, body, options=""):
        module = f"outside_{name}"
        (tmp_path / f"{module}.py").write_text(MODULE.format(name=name, body=body, options=options))
        use_plugins([module])
        modules.append(module)
        return name

    yield register
    for module in modules:
        sys.modules.pop(module, None)


def made_predictions(seed=0, n=40, classes=CLASSES):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"id": range(n), "split": "test", "label": rng.choice(classes, n)})
    return predictions_frame(rows, rng.dirichlet(np.ones(3), n), CLASSES)


def test_our_own_cards_tell_what_scores_do():
    """Perfect predictions reach the better bound, wrong ones the worse or, of ranks, come near."""
    labels = np.arange(30) % 3
    perfect = classification_scores(labels, np.eye(3)[labels], CLASSES, "b")
    wrong = classification_scores(labels, np.eye(3)[(labels + 1) % 3], CLASSES, "b")
    assert list(perfect) == list(wrong) == list(USUAL)
    for name in USUAL:
        card = METRICS[name]
        low, high = card.bounds
        best, worst = (high, low) if card.larger_is_better else (low, high)
        assert perfect[name] == best
        if card.aggregation == "ranks":
            assert 0 <= wrong[name] <= 0.5
        else:
            assert (wrong[name] == worst) if np.isfinite(worst) else wrong[name] > 100


@given(st.integers(0, 999), st.integers(2, 30))
def test_a_card_tells_whether_probabilities_or_decisions_are_scored(seed, n):
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, 3, n), rng.dirichlet(np.ones(3), n)
    predicted = (labels + rng.integers(0, 2, n)) % 3
    sharper = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    before, others, rounded = (
        classification_scores(labels, given, CLASSES, "b", decided)
        for given, decided in (
            (probabilities, predicted),
            (probabilities, (predicted + 1) % 3),
            (sharper, predicted),
        )
    )
    for card in METRICS.cards():
        if card.aggregation == "ranks":  # which only the order moves
            assert before[card.name] == others[card.name]
        elif card.name == "ece":  # of both
            assert before[card.name] not in (others[card.name], rounded[card.name])
        elif card.needs_probabilities:
            assert before[card.name] == others[card.name] != rounded[card.name]
        else:
            assert before[card.name] == rounded[card.name]


def test_only_what_needs_a_positive_class_lacks_without_one():
    scores = classification_scores(np.arange(3), np.eye(3), CLASSES)
    for name, score in scores.items():
        assert (score is None) == METRICS[name].needs_positive_class


@pytest.mark.parametrize("groups", [None, np.arange(40) % 7])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("accuracy", "return (rows.labels == rows.predicted).mean()"),
        ("loss", "return -np.log(rows.probabilities[range(len(rows.labels)), rows.labels]).mean()"),
        (
            "positive_f1",
            "have, said = rows.labels == rows.positive, rows.predicted == rows.positive\n"
            "    return 2 * (have & said).sum() / max((have.sum() + said.sum()), 1)",
        ),
    ],
)
def test_from_rows_and_from_sums_the_bootstrap_is_the_same(outside, name, body, groups):
    runs = [TestRows(made_predictions(seed), groups, "b") for seed in (1, 2)]
    again = outside(f"own_{name}", body)
    np.testing.assert_allclose(
        resampled_from_rows(runs, again), resampled_scores(runs)[name], rtol=0, atol=1e-12
    )
    scores = evaluate(runs[0].predictions, "b", [again])["splits"]["test"]
    assert scores[again] == pytest.approx(scores[name], abs=1e-12)


def test_its_score_stands_in_the_tables_with_an_interval_that_ends_where_it_does(outside):
    name = outside("far", "return 7.6 + (rows.labels == rows.predicted).mean()", "bounds=(0.0, 8)")
    predictions = made_predictions()
    metrics = evaluate(predictions, None, [name])
    result = RunResult("x", "given", 1, metrics, None, {})
    runs = runs_table([result], [name])
    assert list(runs) == [*RUN_COLUMNS, name]
    assert list(runs_table([result])) == RUN_COLUMNS
    runs = pd.concat([runs, runs.assign(split="train")])
    rows = {("x", "given", "1"): TestRows(predictions, None, None)}
    summary = summary_table(runs, rows).set_index("metric")
    assert summary.index[-1] == name
    ours, accuracy = summary.loc[name], summary.loc["accuracy"]
    assert ours["mean"] == pytest.approx(7.6 + accuracy["mean"])
    assert ours["ci_low"] == pytest.approx(7.6 + accuracy["ci_low"])
    assert ours["ci_high"] == 8 < 7.6 + accuracy["ci_high"]


def test_samples_without_a_score_are_left_out_of_the_interval(outside):
    name = outside(
        "of_rare",
        "return np.mean(rows.predicted[rows.labels == 2]) if 2 in rows.labels else np.nan",
    )
    predictions = made_predictions(n=12)
    predictions["label"] = ["c", *"ab" * 5, "c"]
    resampled = resampled_from_rows([TestRows(predictions, None, None)], name)
    left = resampled[~np.isnan(resampled)]
    assert 0 < len(left) < len(resampled)
    assert bootstrap_error(resampled, 12) == bootstrap_error(left, 12)


def test_a_score_that_is_not_defined_is_null_and_chooses_nothing(outside):
    name = outside("never", "return np.nan")
    assert evaluate(made_predictions(), None, [name])["splits"]["test"][name] is None
    labels = np.array([0, 0, 2])
    with pytest.raises(InputError, match="never cannot choose: .* on 3 rows of a, c"):
        Criterion(metric=name).score(labels, np.eye(3)[labels], CLASSES)


def test_the_smallest_loss_is_chosen_and_the_largest_of_others():
    runs = pd.DataFrame(
        [
            ("x", "validation", 0.2, 0.5),
            ("y", "validation", 0.9, 0.6),
            ("x", "test", 1.0, 0.1),
            ("y", "test", 2.0, 0.2),
        ],
        columns=["arm", "split", "loss", "uar"],
    ).assign(fold="1", seed=1)
    for metric, best in (("loss", "x"), ("uar", "y")):
        assert set(chosen_among(runs, ["x", "y"], metric)["chosen"]) == {best}


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        ({"metric": "macrof1"}, "evaluate.metric: no metric is called 'macrof1'; did you mean"),
        ({"metric": ["uar"]}, "evaluate.metric: input should be a valid string"),
        (
            {"more_metrics": ["uar", "lost"]},
            "evaluate.more_metrics.1: no metric is called 'lost'; did you mean 'loss'?",
        ),
        (
            {"more_metrics": ["positive_f1"]},
            "evaluate.positive_label: metric positive_f1 needs to know the positive class",
        ),
        ({"metric": "fold"}, "evaluate: runs.csv has another column 'fold'; rename the metric"),
        ({"metric": "of_class"}, "evaluate.positive_label: metric of_class needs to know"),
    ],
)
def test_mistakes_are_told(outside, evaluate, message):
    outside("fold", "return 0.5")
    outside("of_class", "return 0.5", "needs_positive_class=True")
    with pytest.raises(InputError) as told:
        load_settings({"evaluate": evaluate})
    assert message in str(told.value)


@pytest.mark.parametrize("where", ["", "arms.x.override."])
def test_a_threshold_is_not_chosen_by_what_it_does_not_change(where):
    tuned = {"finetune": {"decision_threshold": "tuned"}}
    if where:
        arm = {"inputs": ["text"], "override": tuned}
        tuned = {"arms": {"x": arm}, "experiment": {"arms": ["x"]}}
    with pytest.raises(InputError) as told:
        load_settings(tuned | {"evaluate": {"metric": "loss"}})
    assert f"{where}finetune.decision_threshold: tuned is chosen by evaluate.metric, but loss" in (
        str(told.value)
    )
    load_settings(tuned | {"evaluate": {"metric": "uar"}})


def keys(config):
    arms = {
        "linear": {"system": "bow_linear", "select": "cv"},
        "one_C": {"system": "bow_linear", "select": "half", "C": [0.1]},
    }
    select = {"cv": {"method": "lasso", "alpha": "cv"}, "half": {"method": "lasso", "alpha": 0.5}}
    base = {"experiment": {"arms": [*arms]}, "arms": arms, "select": select, "seeds": [1]}
    plan = make_plan(load_settings(base | config))
    return {
        f"{run.arm} {variant.stage}": variant.key
        for run in plan.runs
        for variant in run.with_ancestors()
    }


def test_the_source_is_in_the_keys_of_what_it_chooses_and_scores(outside):
    name = outside("mine", "return 0.5")

    def changed_by_an_edit(evaluate):
        before = keys({"evaluate": evaluate})
        with open("outside_mine.py", "a") as module:
            module.write("# another source\n")
        vars(METRICS[name]).pop("origin", None)  # a process reads it once
        after = keys({"evaluate": evaluate})
        return {stage for stage in before if before[stage] != after[stage]}

    evaluations = {"linear evaluate", "one_C evaluate"}
    assert changed_by_an_edit({"more_metrics": [name]}) == evaluations
    chosen = changed_by_an_edit({"metric": name})
    assert chosen == evaluations | {
        *("linear select_tokens", "linear describe_selection", "linear fit_linear")
    }
    assert changed_by_an_edit({}) == set()
    # Scores that are always there change no key.
    assert keys({"evaluate": {"more_metrics": ["uar", "loss"]}}) == keys({})
