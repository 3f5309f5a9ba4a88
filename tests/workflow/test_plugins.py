"""The methods of docs/extending.md: planned, validated, computed, and part of the key."""

from __future__ import annotations

import json
import re
import subprocess

import pandas as pd
import pytest

from .conftest import REPOSITORY, TABLES
from .warm_python import interpreter

EXTENDING = (REPOSITORY / "docs" / "extending.md").read_text()
MODULE, CONFIG = re.findall(r"```(?:python|yaml)\n(.*?)```", EXTENDING, flags=re.DOTALL)[:2]

OPTIONS = ("--configfile", "tiny.yaml", "plugged.yaml")


@pytest.fixture(scope="module")
def plugged(finished, tmp_path_factory):
    """A copy of the finished tiny run, whose counts serve here too."""
    workspace = finished.copy(tmp_path_factory.mktemp("plugins") / "plugged")
    (workspace.folder / "my_methods.py").write_text(MODULE)
    (workspace.folder / "plugged.yaml").write_text(CONFIG)
    return workspace


def test_a_users_own_methods_run_and_their_source_is_part_of_the_key(plugged):
    plugged.run(*OPTIONS)
    runs = pd.read_csv(plugged.folder / "results/experiments/plugged/runs.csv")
    assert set(runs["arm"]) == {"means", "counts"}
    assert set(runs.loc[runs["arm"] == "counts", "n_audio_tokens"]) == {11}  # of 2 x 16 every third
    test = runs[runs["split"] == "test"].set_index("arm")
    assert list(runs)[-1] == "brier"
    # What a system of another's costs is measured like ours.
    costs = runs.set_index(["arm", "split"]).loc[("means", "test")]
    assert costs["train_seconds"] > 0 and costs["peak_memory_mb"] > 50
    assert costs["trainable_parameters"] > 0 and pd.isna(costs["mean_sequence_length"])
    summary = pd.read_csv(plugged.folder / "results/experiments/plugged/summary.csv")
    brier = summary[summary["metric"] == "brier"].set_index("arm")
    assert brier["mean"].to_dict() == pytest.approx(test["brier"].to_dict())
    # Two speakers tell little: the intervals end where the score does.
    assert (brier["ci_low"] == 0).all() and brier["ci_high"].between(brier["mean"], 2).all()
    assert "brier" in (plugged.folder / "results/experiments/plugged/report.html").read_text()
    assert plugged.planned_rules(*OPTIONS) == set()

    module = plugged.folder / "my_methods.py"
    module.write_text(MODULE.replace("distance.min", "0.5 * distance.min"))
    rerun = plugged.planned_rules(*OPTIONS)
    assert rerun == {
        *("fit_linear_nearest_mean", "select_tokens", "fit_linear"),
        *("evaluate", *TABLES),
    }
    module.write_text(MODULE)
    assert plugged.planned_rules(*OPTIONS) == set()


def test_their_metric_chooses_and_is_compared(plugged):
    """By its direction: C has the smallest score."""
    plugged.run(*OPTIONS)
    experiment = plugged.folder / "results/experiments/plugged"
    index = pd.read_csv(experiment / "index.tsv", sep="\t").set_index("arm")
    folder = plugged.folder / index.loc["counts", "training"]
    training = json.loads((folder / "training.json").read_text())
    scores = dict(training["validation_brier"])
    assert training["C"] == min(scores, key=scores.get) and len(set(scores.values())) == 2
    # Each value by its definition, from the predictions.
    predictions = pd.read_parquet(folder / "predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    truth = pd.get_dummies(test["label"])
    squares = (test[[f"p_{name}" for name in truth]].to_numpy() - truth.to_numpy()) ** 2
    runs = pd.read_csv(experiment / "runs.csv")
    found = runs.query("arm == 'counts' and split == 'test'")["brier"].item()
    assert found == pytest.approx(squares.sum(axis=1).mean())

    # From elsewhere, where the module does not lie.
    program = "from speechlasso.cli import main; raise SystemExit(main())"
    command = [interpreter(), "-c", program, "compare", experiment]
    options = ["--metric", "brier", "--plugin", "my_methods"]
    compared = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, text=True)
    assert f"{found:.3f} ±" in compared.stdout, compared.stderr


def test_a_metric_for_the_tables_alone_scores_anew_and_trains_nothing(plugged):
    (plugged.folder / "my_scores.py").write_text(
        "from speechlasso.evaluation.cards import MetricCard\n"
        "def score(rows):\n    return (rows.labels == rows.predicted).mean()\n"
        "HITS = MetricCard(name='hits', implementation=__name__)\n"
    )
    more = {"plugins": ["my_methods", "my_scores"], "evaluate": {"more_metrics": ["hits"]}}
    plugged.write("more.yaml", more)
    plugged.run(*OPTIONS)
    planned = plugged.planned_rules(*OPTIONS, "more.yaml")
    assert planned == {"evaluate", *TABLES}


def test_mistakes_in_their_settings_are_told_as_in_our_own(plugged):
    mistakes = {
        "arms": {
            "means": {"system": "nearest_mean", "shrnk": 1},
            "other": {"system": "nearest_maen"},
        },
        "select": {"mine": {"method": "every_nth", "n": "x"}},
        "evaluate": {"metric": "briar", "more_metrics": ["brier", "macrof1"]},
    }
    plugged.write("mistakes.yaml", mistakes)
    finished = plugged.snakemake(*OPTIONS, "mistakes.yaml", "--dry-run")
    assert finished.returncode != 0
    for message in (
        "arms.means.shrnk: unknown key; did you mean 'shrink'?",
        "arms.other.system: no system is called 'nearest_maen'; did you mean 'nearest_mean'?",
        "select.mine.n: input should be a valid integer",
        "evaluate.metric: no metric is called 'briar'; did you mean 'brier'?",
        "evaluate.more_metrics.1: no metric is called 'macrof1'; did you mean 'macro_f1'?",
    ):
        assert message in finished.stdout


def test_a_module_that_cannot_be_imported_is_named(plugged):
    plugged.write("missing.yaml", {"plugins": ["no_such_methods"]})
    finished = plugged.snakemake(*OPTIONS, "missing.yaml", "--dry-run")
    assert finished.returncode != 0
    assert "no_such_methods: ModuleNotFoundError" in finished.stdout
