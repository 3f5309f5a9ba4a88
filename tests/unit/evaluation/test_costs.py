"""What runs cost: where each number comes from, means over runs, and units for people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from speechlasso.evaluation.costs import COSTS, arm_costs, in_units, readable, run_costs
from speechlasso.report import figures as report_figures

TRAINING = {
    "C": 0.1,
    "trainable_parameters": 12,
    "mean_sequence_length": 7.5,
    "train_seconds": 3.0,
    "peak_memory_mb": 300.0,
}
ADAPTATION = pd.DataFrame({"epoch": [0, 1, 2], "seconds": [0.5, 10.0, 20.0]})


def test_adaptation_takes_all_its_epochs_and_the_rest_is_of_the_training():
    expected = dict(zip(COSTS, (12, 7.5, 3.0, None, 300.0), strict=True))
    assert run_costs(TRAINING, None) == expected
    assert run_costs(TRAINING, ADAPTATION) == expected | {"adapt_seconds": 30.5}
    assert set(run_costs({"C": 0.1}, None).values()) == {None}, "of an older version"


def test_arms_cost_the_mean_of_their_runs():
    runs = pd.DataFrame(
        [["b", 10, np.nan, 1.0, np.nan, 90.0], ["b", 20, np.nan, 5.0, np.nan, 110.0]]
        + [["a", 10**6, 64.0, 90.0, 60.0, 2048.0]],
        columns=["arm", *COSTS],
    )
    costs = arm_costs(runs)
    assert costs.index.tolist() == ["b", "a"]
    assert costs.loc["b", ["trainable_parameters", "train_seconds"]].tolist() == [15, 3]
    assert readable(costs).to_dict("index") == {
        "b": dict(zip(COSTS.values(), ["15", "", "3 s", "", "100 MB"], strict=True)),
        "a": dict(zip(COSTS.values(), ["1 M", "64", "1.5 min", "1 min", "2 GB"], strict=True)),
    }
    # What no arm has, nobody reads.
    assert list(readable(costs.loc[["b"]])) == [
        "trainable parameters",
        "training time",
        "peak memory",
    ]


@pytest.mark.parametrize(
    ("number", "cost", "expected"),
    [
        (0, "trainable_parameters", "0"),
        (753, "trainable_parameters", "753"),
        (22_713_216, "trainable_parameters", "22.7 M"),
        (3.2e9, "trainable_parameters", "3.2 B"),
        (0.0341, "train_seconds", "0.0341 s"),
        (59.96, "train_seconds", "60 s"),
        (3600, "train_seconds", "1 h"),
        (36_000_000, "train_seconds", "10000 h"),
        (1023.7, "peak_memory_mb", "1020 MB"),
        (81_920, "peak_memory_mb", "80 GB"),
        (np.nan, "peak_memory_mb", ""),
    ],
)
def test_units_for_people(number, cost, expected):
    assert in_units(number, cost) == expected


@pytest.fixture
def drawn(monkeypatch):
    """The figures, before they become text, each with what it says of itself."""
    figures = []

    def kept(figure, words):
        figures.append((figure, words))
        return ""

    monkeypatch.setattr(report_figures, "svg", kept)
    return figures


def points(axes):
    """Of each arm that has one: its place, and the ends of the interval."""
    found = {}
    for container in axes.containers:
        (line, _, (bar,)) = container.lines
        (x,), (y,) = line.get_data()
        if np.isfinite(x):
            found[container.get_label()] = (x, y, *bar.get_segments()[0][:, 1])
    return found


def test_scores_stand_over_time_and_over_length_where_there_is_one(drawn):
    rows = [["lm", 1000, 40.0, 100.0, 20.0, 1.0], ["bow", 9, np.nan, 0.5, np.nan, 1.0]]
    costs = arm_costs(pd.DataFrame(rows, columns=["arm", *COSTS]))
    ends = {"lm": (0.75, 0.5, 0.875), "bow": (0.5, np.nan, np.nan), "not measured": (0.9, 0.8, 1)}
    summary = pd.DataFrame(
        [[arm, metric, *of_arm] for arm, of_arm in ends.items() for metric in ("macro_f1", "uar")],
        columns=["arm", "metric", "mean", "ci_low", "ci_high"],
    )
    summary.loc[summary["metric"] == "uar", "mean"] = 0.1
    report_figures.cost_figure("macro_f1", summary, costs)
    figure, words = drawn[0]
    over_time, over_length = figure.axes
    assert points(over_time) == {"lm": (120, 0.75, 0.5, 0.875), "bow": (0.5, 0.5, 0.5, 0.5)}
    assert points(over_length) == {"lm": (40, 0.75, 0.5, 0.875)}, "the other reads no sequence"
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["lm", "bow"]
    report_figures.cost_figure("macro_f1", summary, costs.loc[["bow"]])
    assert words.endswith("without one, and so not there: bow.")
    assert len(drawn[1][0].axes) == 1
