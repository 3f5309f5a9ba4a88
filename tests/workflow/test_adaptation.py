"""What the language model is adapted to, and tables without audio."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
from tiny_models import save_talker

from speechlasso.files import read_json

from .conftest import TABLES

TINY = ("--configfile", "tiny.yaml")


def test_a_corpus_without_labels_is_tokenised_and_adapted_to(finished, tmp_path):
    workspace = finished.copy(tmp_path / "copy")
    (table,) = (workspace.folder / "results/demo_corpus").glob("*/manifest.csv")
    corpus = pd.read_csv(table)[["id", "text", "audio"]].rename(columns={"id": "name"})
    corpus["audio"] = [str(table.parent / clip) for clip in corpus["audio"]]
    corpus[:20].to_csv(workspace.folder / "corpus.csv", index=False)
    test_clip = table.parent / pd.read_csv(table).query("split == 'test'")["audio"].iloc[0]
    options = (
        *TINY,
        "--config",
        "experiment={arms: [lasso], name: corpus}",
        "adapt={corpus: {path: corpus.csv, columns: {id: name}}}",
    )
    assert workspace.planned_rules(*options) == {
        *("manifest", "tokenize_audio", "token_texts", "adapt_lm", "finetune", "predict"),
        *("evaluate", "model_card", *TABLES),
    }
    workspace.run(*options)
    tables = workspace.folder / "results/experiments/corpus"
    (run,) = pd.read_csv(tables / "index.tsv", sep="\t").to_dict("records")
    log = pd.read_csv(workspace.folder / run["adapt"] / "training_log.csv")
    test = pd.read_csv(tables / "runs.csv").query("split == 'test'")
    assert test["perplexity_before"].item() == log["held_out_perplexity"][0]
    assert "Transductive" not in (tables / "report.html").read_text()
    # The corpus gets a copy of a test clip under another name.
    (workspace.folder / "copy.wav").write_bytes(test_clip.read_bytes())
    corpus.loc[19, ["name", "audio"]] = ["stranger", str(workspace.folder / "copy.wav")]
    corpus[:20].to_csv(workspace.folder / "seen.csv", index=False)
    seen = "adapt={corpus: {path: seen.csv, columns: {id: name}}}"
    workspace.run(*TINY, "--config", "experiment={arms: [lasso], name: seen}", seen)
    tables = workspace.folder / "results/experiments/seen"
    assert "Transductive: in lasso the language model" in (tables / "report.html").read_text()
    (run,) = pd.read_csv(tables / "index.tsv", sep="\t").to_dict("records")
    card = (workspace.folder / run["training"] / "README.md").read_text()
    assert "a table that holds 1 of the 30 test rows, without their labels" in card


def test_a_table_of_text_alone_runs_without_any_audio(workspace):
    splits = ["train"] * 24 + ["val"] * 6 + ["test"] * 6
    texts = ["yes it is", "no it is not"] * 18
    labels = ["agree", "deny"] * 18
    table = pd.DataFrame({"split": splits, "text": texts, "label": labels})
    table.to_csv(workspace.folder / "texts.csv", index=False)
    experiment = {
        "experiment": {"name": "texts", "arms": ["text_only", "counts"]},
        "dataset": {
            "source": "table",
            "table": {
                "path": "texts.csv",
                "columns": {"id": None, "audio": None, "split": "split"},
            },
        },
        "arms": {"counts": {"inputs": ["text"], "system": "bow_linear"}},
    }
    options = (*TINY, workspace.write("texts.yaml", experiment))
    assert not workspace.planned_rules(*options) & {"tokenize_audio", "fit_tokenizer", "adapt_lm"}
    workspace.run(*options)
    summary = pd.read_csv(workspace.folder / "results/experiments/texts/summary.csv")
    scores = summary[summary["metric"] == "accuracy"].set_index("arm")["mean"]
    assert scores["counts"] == 1.0
    assert scores.index.tolist() == ["text_only", "counts"]


def test_answers_are_made_from_words_alone_and_adapted_to(finished, tmp_path):
    workspace = finished.copy(tmp_path / "copy")
    experiment = {
        "experiment": {"name": "powered", "arms": ["powered"]},
        "lm": {"name": save_talker(tmp_path / "chat"), "max_length": 200},
        "adapt": {"objective": "self_powered", "self_powered": {"max_new_tokens": 4}},
        "arms": {"powered": {"select": "lasso"}},
    }
    options = (*TINY, workspace.write("powered.yaml", experiment))
    assert workspace.planned_rules(*options) == {
        *("answer_instructions", "adapt_lm", "finetune", "predict", "evaluate"),
        *("model_card", *TABLES),
    }
    workspace.run(*options)
    tables = workspace.folder / "results/experiments/powered"
    (run,) = pd.read_csv(tables / "index.tsv", sep="\t").to_dict("records")
    answers = pd.read_parquet(workspace.folder / run["answers"] / "answers.parquet")
    assert set(answers["split"]) == {"train"} and answers["held_out"].any()
    (bias, *_) = read_json(workspace.folder / run["adapt"] / "anchor_bias.json")
    assert {*bias} == {"group", "kind", "n_pairs", "before", "after", "with_transcript"}
    report = (tables / "report.html").read_text()
    assert ">Speech anchor bias</h2>" in report and ">unrelated</td>" in report
    summary = workspace.run("--detailed-summary", *options)
    lines = summary[summary.index("output_file\t") :].splitlines()
    rows = csv.DictReader(lines, delimiter="\t")
    (read,) = {
        row["input-file(s)"] for row in rows if row["output_file"].endswith("answers.parquet")
    }
    data = {Path(path).name for path in read.split(",") if not path.startswith(str(tmp_path))}
    assert data == {"token_texts.parquet", "instructions.yaml"}
