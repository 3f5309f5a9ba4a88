"""Which rules run: all of them once, then only what a change reaches."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
import yaml

from speechlasso.cli import main
from speechlasso.pipeline.stages import STAGES

from .conftest import REPOSITORY, TABLES

TINY = ("--configfile", "tiny.yaml")
ALPHA = ("--config", "select={lasso: {alpha: 0.4}}")
AFTER_SELECTION = {
    *("select_tokens", "describe_selection", "token_texts", "adapt_lm", "finetune", "fit_linear"),
    *("predict", "evaluate", "model_card", *TABLES),
}


def test_results_hold_every_arm(finished):
    tables = finished.folder / "results/experiments/tiny"
    summary = pd.read_csv(tables / "summary.csv")
    arms = ["text_only", "audio_only", "lasso", "random", "bow_linear"]
    fixed = ["arm", "metric", "mean", "sd", "n", "ci_low", "ci_high"]
    assert list(summary.columns) == [*fixed, "interval", "n_seeds", "seed_sd", "chosen_on"]
    assert set(summary["interval"]) == {"bootstrap over 2 groups, 30 rows"}
    loss = summary[summary["metric"] == "loss"]
    assert (loss["ci_low"] < loss["mean"]).all() and (loss["mean"] < loss["ci_high"]).all()
    assert list(dict.fromkeys(summary["arm"])) == arms
    verdicts = pd.read_csv(tables / "verdicts.csv").set_index("arm")
    assert list(verdicts.index) == arms[1:] and set(verdicts["reference"]) == {"text_only"}
    for arm, told in verdicts["sentence"].items():
        two_speakers = "1 seed, one test part of 30 rows of 2 groups, where at least 3 groups"
        assert told.startswith(f"too little data to compare {arm} with text_only: {two_speakers}")
    runs = pd.read_csv(tables / "runs.csv")
    assert len(runs) == len(arms) * 3
    test = runs[runs["split"] == "test"].set_index("arm")
    assert (test["n_examples"] == 30).all()
    assert test.loc["random", "n_audio_tokens"] == test.loc["lasso", "n_audio_tokens"] > 0
    assert test.loc["text_only", "n_audio_tokens"] == 0
    has_adapted = test.index.isin(["audio_only", "lasso", "random"])
    always = test[["trainable_parameters", "train_seconds", "peak_memory_mb"]]
    assert (always > 0).all(axis=None)
    assert (test["mean_sequence_length"].notna() == (test.index != "bow_linear")).all()
    assert test.loc["lasso", "mean_sequence_length"] > test.loc["text_only", "mean_sequence_length"]
    assert (test["adapt_seconds"].notna() == has_adapted).all()
    assert (test.loc[has_adapted, "adapt_seconds"] > 0).all()
    assert not {*always, "adapt_seconds"} & {*summary["metric"]}, "times would differ between runs"
    index = pd.read_csv(tables / "index.tsv", sep="\t").set_index("arm")
    for stage in ("demo_corpus", "select", "training", "evaluation"):
        assert (finished.folder / index.loc["lasso", stage] / "spec.json").is_file()
    confusion = pd.read_csv(tables / "confusion.csv")
    assert confusion.groupby("arm")["count"].sum().to_dict() == dict.fromkeys(arms, 30)
    report = (tables / "report.html").read_text()
    assert len(report) > 10_000 and ">Quality against cost</h2>" in report


def test_one_seed_averaged_is_that_seed(finished, capsys):
    runs = finished.folder / "results/experiments/tiny/runs.csv"
    options = ["--reference", "random", "--average-seeds", "lasso", "bow_linear"]
    assert main(["compare", str(runs), *options, "--format", "markdown"]) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert any(line.endswith("bootstrap over 2 groups, 30 rows") for line in printed)
    assert "at least 3 groups or rows to test on are needed" in printed[-1]
    cells = [line.split("|")[1:-1] for line in printed if line.startswith("|")]
    scores = {name.strip(): (validation, test) for name, validation, test, *_ in cells}
    for arm in ("lasso", "bow_linear"):
        assert scores[f"{arm}, seeds averaged"] == scores[arm]


def test_every_result_says_with_what_it_was_computed(finished):
    results = finished.folder / "results"
    specs = [*results.glob("*/*/spec.json"), *results.glob("tokenize_audio/*/*.spec.json")]
    unread = {"answer_instructions", "encode_audio", "schedule_examples"}  # by these arms
    assert {path.relative_to(results).parts[0] for path in specs} == set(STAGES) - unread
    records = [*specs, *results.glob("*/*/training.json")]
    found = {path: json.loads(path.read_text())["environment"] for path in records}
    for path, environment in found.items():
        assert {"python", "numpy", "scikit-learn", "device"} <= environment.keys(), path
        if path.parent.parent.name in ("adapt_lm", "finetune"):
            assert environment["torch"] and environment["precision"] in ("fp32", "bf16"), path
            assert environment["hub_commit"] is None, path


def test_nothing_to_do_afterwards(finished):
    assert finished.planned_rules(*TINY) == set()


def test_snakemakes_own_report_holds_the_page_the_tables_and_the_figures(finished, tmp_path):
    workspace = finished.copy(tmp_path / "workspace")
    workspace.run(*TINY, "--report", "packed.zip")
    with ZipFile(workspace.folder / "packed.zip") as packed:
        kept = {Path(name).name: packed.read(name) for name in packed.namelist()}
    tables = workspace.folder / "results/experiments/tiny"
    for name in (
        "summary.csv",
        "verdicts.csv",
        "errors.csv",
        "provenance.json",
        "tables/scores.md",
    ):
        assert kept[Path(name).name] == (tables / name).read_bytes()
    # report.html is also the name of Snakemake's own page.
    assert {"scores.svg", "quality-against-cost.svg", "page.html", "report.html"} <= set(kept)


def test_another_alpha_runs_selection_and_what_follows_and_back_only_the_tables(finished, tmp_path):
    workspace = finished.copy(tmp_path / "copy")
    assert workspace.planned_rules(*TINY, *ALPHA) == AFTER_SELECTION
    workspace.run(*TINY, *ALPHA)
    assert workspace.planned_rules(*TINY, *ALPHA) == set()
    assert workspace.planned_rules(*TINY) == TABLES
    before = (finished.folder / "results/experiments/tiny/summary.csv").read_bytes()
    workspace.run(*TINY)
    assert (workspace.folder / "results/experiments/tiny/summary.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "rules"),
    [
        ("experiment={name: other}", TABLES),
        ("finetune={lora: {rank: 3}}", set()),  # unread while the method is full
        # How jobs compute, and when they give up, changes no result.
        ("audio={max_bad_share: 0.3, shard_size: 20}", set()),
        ("adapt={micro_batch_size: 4, gradient_checkpointing: true, processes: 2}", set()),
        ("finetune={micro_batch_size: 4, gradient_checkpointing: true, processes: 2}", set()),
        ("finetune={epochs: 2}", {"finetune", "predict", "evaluate", "model_card", *TABLES}),
        ("arms={bow_linear: {C: [1.0]}}", {"fit_linear", "evaluate", *TABLES}),
        ("seeds=[1, 2]", AFTER_SELECTION - {"fit_linear", "describe_selection"}),
        ("arms={renamed: {select: lasso}}", set()),  # defined, but not among experiment.arms
    ],
)
def test_a_change_runs_what_reads_it_and_no_more(finished, setting, rules):
    assert finished.planned_rules(*TINY, "--config", setting) == rules


def test_text_only_runs_no_audio_stage(workspace):
    rules = workspace.planned_rules(*TINY, "--config", "experiment={arms: [text_only]}")
    assert rules == {
        *("demo_corpus", "manifest", "divide_folds", "token_texts", "finetune", "predict"),
        *("evaluate", "model_card", *TABLES),
    }


def test_a_renamed_arm_costs_the_tables_only(finished):
    settings = "experiment={arms: [mine]}", "arms={mine: {select: lasso}}"
    assert finished.planned_rules(*TINY, "--config", *settings) == TABLES


def test_settings_of_how_a_job_computes_reach_it(finished):
    (spec, *_) = finished.folder.glob("results/finetune/*/spec.json")
    assert json.loads(spec.read_text())["settings"]["finetune"]["micro_batch_size"] == 16


def test_code_edits_do_not_rerun_finished_stages():
    profile = yaml.safe_load((REPOSITORY / "profiles/default/config.yaml").read_text())
    assert set(profile["rerun-triggers"]) == {"mtime", "params", "input"}
