"""Figures of the report: what they draw of runs that stop at different times, and what they say."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from made_report import full_evidence, made_groups, made_logs

from speechlasso.evaluation.costs import arm_costs
from speechlasso.evaluation.summary import RunResult
from speechlasso.figures import words_of
from speechlasso.report import curves, learning_figures
from speechlasso.report.figures import (
    confusion_figure,
    cost_figure,
    group_figure,
    selection_figure,
)
from speechlasso.report.learning_figures import learning_figure

pytestmark = pytest.mark.slow


def run_of(number, losses, kept):
    epochs = np.arange(1, len(losses) + 1)
    table = pd.DataFrame({"epoch": epochs, "train_loss": losses, "macro_f1": 1 - np.array(losses)})
    return table.assign(arm="lasso", run=number, best=epochs == kept)


STOPPED = pd.concat([run_of(1, [0.9, 0.5, 0.6], 2), run_of(2, [0.8, 0.6, 0.5, 0.1, 0.2], 4)])


def test_means_of_learning_end_where_a_run_stops():
    drawn = learning_figure("macro_f1", STOPPED)
    lines = re.findall('<path d="([^"]*)" clip-path=[^>]*style="fill: none; stroke: #0072b2', drawn)
    # In either panel two runs and their mean.
    assert Counter(len(re.findall("[ML]", line)) for line in lines) == {3: 4, 5: 2}
    assert ">validation macro F1<" in drawn
    # Two kept epochs in either panel.
    assert drawn.count('style="fill-opacity: 0; stroke: #0072b2"/>') == 2 * 2
    words = "Rings: the epochs that were kept. Best mean macro F1: 0.450, lasso, epoch 2."
    assert words_of(drawn) == words


def test_learning_of_many_runs_or_without_kept_epochs_says_nothing_of_rings(monkeypatch):
    told = "Best mean macro F1: 0.450, lasso, epoch 2."
    assert words_of(learning_figure("macro_f1", STOPPED.drop(columns="best"))) == told
    monkeypatch.setattr(learning_figures, "_MOST_THIN_LINES", 1)
    assert words_of(learning_figure("macro_f1", STOPPED)) == told


def test_kept_epochs_stand_in_the_data_where_the_logs_have_them():
    (group,) = curves._learning(full_evidence())
    assert list(group.blocks[0].data) == ["arm", "run", "epoch", "train_loss", "macro_f1"]
    logs = {
        arm: [log.assign(best=log["epoch"] == 2) for log in of_arm]
        for arm, of_arm in made_logs().items()
    }
    (group,) = curves._learning(full_evidence(training_logs=logs))
    assert group.blocks[0].data["best"].sum() == 4
    assert group.blocks[0].words.startswith("Rings: ")


def test_costs_name_the_arms_that_read_no_sequence():
    made = full_evidence()
    costs = arm_costs(made.test)
    costs["mean_sequence_length"] = [7.5, np.nan, 10.0, np.nan, 18.0]
    words = words_of(cost_figure("macro_f1", made.summary, costs))
    assert "on a logarithmic scale too; without one, and so not there: bow" in words
    assert words.endswith(f": {costs.index[1]}, {costs.index[3]}.")
    alone = costs.assign(mean_sequence_length=np.nan)
    assert words_of(cost_figure("macro_f1", made.summary, alone)) == ""


def test_groups_say_where_the_score_is_highest_and_lowest(monkeypatch):
    groups = made_groups()
    groups.loc[4, "macro_f1"] = 0.9
    words = words_of(group_figure("macro_f1", "group", groups))
    assert words.startswith("Each arm's macro F1 in each group, test rows in brackets; ")
    assert words.endswith(
        "highest 0.900, lasso in speaker 2; lowest 0.520, text_only in speaker 3."
    )
    monkeypatch.setattr("speechlasso.report.figures.MOST_CLASSES", 2)
    words = words_of(group_figure("macro_f1", "group", groups))
    assert "the 2 largest of 3 groups" in words and "lowest 0.560" in words


@pytest.mark.parametrize("n_layers", [8, 64])
def test_selections_say_where_most_tokens_are(n_layers):
    tokens = [{"layer": layer} for layer in (*range(n_layers), 5, 5)]
    drawn = selection_figure({"lasso": [RunResult("lasso", "0", 1, {}, {"tokens": tokens}, {})]})
    assert words_of(drawn).endswith("are kept; at most 3, of layer 5 by lasso.")


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[3, 2], [1, 4]], "7 of 10 are right; the most frequent error: a taken for b, 2 of 5."),
        ([[3, 0], [0, 4]], "7 of 7 are right."),
    ],
)
def test_confusions_say_the_most_frequent_error(matrix, words):
    metrics = {"classes": ["a", "b"], "splits": {"test": {"confusion": matrix}}}
    assert words_of(confusion_figure("x", [RunResult("x", "0", 1, metrics, None, {})])) == words
