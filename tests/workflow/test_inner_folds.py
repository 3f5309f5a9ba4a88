"""Choosing on inner folds and fitting on all rows but the test rows, through the real Snakefile."""

from __future__ import annotations

import json
import re
from collections import Counter
from statistics import fmean

import pandas as pd
import pytest
from sklearn.metrics import f1_score

from .conftest import TABLES

ARMS = ["bow_linear", "text_only", "both"]
CONFIG = {
    "experiment": {"name": "inner", "arms": ARMS},
    "dataset": {
        "folds": {
            **{"method": "grouped", "n_folds": 3, "only": ["0"]},
            **{"choose_on": "inner_folds", "n_inner_folds": 2},
        }
    },
    "audio": {"shard_size": 500},
    "finetune": {"epochs": 3},
    "arms": {"both": {"system": "late_fusion", "arms": ["bow_linear", "text_only"]}},
}
OPTIONS = ("--configfile", "tiny.yaml", "inner.yaml")


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """The folder after the run, the jobs that ran, and the parts of each arm's run."""
    workspace = finished.copy(tmp_path_factory.mktemp("inner") / "workspace")
    workspace.write("inner.yaml", CONFIG)
    output = workspace.run(*OPTIONS)
    assert workspace.planned_rules(*OPTIONS) == set()
    table = output.split("Job stats:")[1].split("total")[0]
    jobs = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}
    index = workspace.folder / "results/experiments/inner/index.tsv"
    parts = pd.read_csv(index, sep="\t").set_index("arm")
    return workspace.folder, jobs, parts, output


def test_each_inner_fold_has_its_jobs_and_data_are_read_once(run):
    _, jobs, _, _ = run
    once = {"divide_folds", "describe_selection", "model_card", *TABLES}
    of_each_fold = {
        *("fit_tokenizer", "tokenize_audio", "build_bow", "fit_path", "select_tokens"),
        *("fit_linear", "fit_linear_late_fusion", "token_texts", "finetune", "predict"),
    }
    of_each_arm = {"evaluate": len(ARMS)}
    assert jobs == dict.fromkeys(once, 1) | dict.fromkeys(of_each_fold, 3) | of_each_arm


def predictions(folder, parts, arm, role):
    return pd.read_parquet(folder / parts.loc[arm, role] / "predictions.parquet")


def read_json(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("arm", ARMS)
def test_validation_scores_are_of_models_that_have_not_seen_the_row(run, arm):
    folder, _, parts, _ = run
    manifest = pd.read_parquet(folder / parts.loc[arm, "manifest"] / "manifest.parquet")
    group = manifest.set_index("id")["group"]
    final = predictions(folder, parts, arm, "predictions")
    test = set(final.loc[final["split"] == "test", "id"])
    learned = set(final.loc[final["split"] == "train", "id"])
    assert test | learned == set(manifest["id"]) and len(test) == 30

    validated = []
    for number in range(2):
        inner = predictions(folder, parts, arm, f"inner_predictions_{number}")
        assert set(inner["id"]) == learned, "no test row has any part in it"
        of_split = {split: set(group[rows["id"]]) for split, rows in inner.groupby("split")}
        assert not of_split["train"] & of_split["validation"], "speakers"
        validated.append(inner[inner["split"] == "validation"])
    pooled = pd.concat(validated)
    assert Counter(pooled["id"]) == dict.fromkeys(learned, 1)

    runs = pd.read_csv(folder / "results/experiments/inner/runs.csv").query("arm == @arm")
    assert set(runs["chosen_on"]) == {"2 inner folds"}
    scores = runs.set_index("split")["macro_f1"]
    assert scores["validation"] == pytest.approx(
        f1_score(pooled["label"], pooled["predicted"], average="macro")
    )
    assert runs.set_index("split")["n_examples"].to_dict() == {
        "train": 60,
        "validation": 60,
        "test": 30,
    }


@pytest.mark.parametrize(
    ("arm", "stage"), [("bow_linear", "fit_linear"), ("text_only", "finetune")]
)
def test_the_final_fit_takes_what_inner_folds_score_best(run, arm, stage):
    folder, _, parts, _ = run
    training = folder / parts.loc[arm, "training"]
    upstream = read_json(training / "spec.json")["upstream"]
    tables = [
        dict(
            read_json(folder / f"results/{stage}/{upstream[f'inner_fit_{n}']}/training.json")[
                "validation_macro_f1"
            ]
        )
        for n in range(2)
    ]
    mean = {
        value: fmean(table[value] for table in tables) for value in tables[0] if value in tables[1]
    }
    record = read_json(training / "training.json")
    assert dict(record["validation_macro_f1"]) == pytest.approx(mean)
    best = max(mean, key=mean.get)
    if arm == "bow_linear":
        assert record["C"] == best
    else:
        log = pd.read_csv(training / "training_log.csv")
        assert list(log["epoch"]) == list(range(1, best + 1))
        assert list(log) == ["epoch", "train_loss", "seconds", "best"]


def test_a_fusion_weighs_by_the_validation_rows_of_all_inner_folds(run):
    folder, _, parts, _ = run
    pooled = []
    for arm in ("bow_linear", "text_only"):
        inner = [predictions(folder, parts, arm, f"inner_predictions_{n}") for n in range(2)]
        rows = pd.concat(inner).query("split == 'validation'").set_index("id").sort_index()
        pooled.append(rows.filter(like="p_"))
    labels = rows["label"]

    def macro_f1(weight):
        fused = weight * pooled[0] + (1 - weight) * pooled[1]
        return f1_score(labels, fused.idxmax(axis=1).str.removeprefix("p_"), average="macro")

    record = read_json(folder / parts.loc["both", "training"] / "training.json")
    best = max(macro_f1(n / 20) for n in range(21))
    assert record["validation_macro_f1"] == pytest.approx(best)
    assert macro_f1(record["weights"]["arm_1"]) == pytest.approx(best)


def test_table_report_and_model_card_say_so(run):
    folder, _, parts, output = run
    experiment = folder / "results/experiments/inner"
    sentence = "Settings were chosen on 2 inner folds of all rows but the test rows"
    assert sentence in output and sentence in (experiment / "report.html").read_text()
    assert set(pd.read_csv(experiment / "summary.csv")["chosen_on"]) == {"2 inner folds"}
    card = (folder / parts.loc["text_only", "training"] / "README.md").read_text()
    assert "on the validation rows of 2 inner folds chose the epoch" in " ".join(card.split())
    assert "(fold 0 of 3)" in card
