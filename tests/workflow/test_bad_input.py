"""Bad input in a real run; tests/unit/test_bad_input.py has every kind of it."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pytest
import soundfile

from .warm_python import interpreter

RATE = 16_000
LABELS = ["calm", "tense"]


@pytest.fixture
def own_data(workspace):
    """A small table of recordings; tests spoil it."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        name = f"u{number:02d}"
        tone = np.sin(np.arange(RATE // 2) * (0.05 + 0.05 * (number % 2)))
        noise = 0.01 * rng.standard_normal(len(tone))
        soundfile.write(workspace.folder / f"{name}.wav", 0.5 * tone + noise, RATE)
        split = ["train", "train", "validation", "test"][number // 3]
        rows.append([name, f"{name}.wav", "some words", LABELS[number % 2], split])
    table = pd.DataFrame(rows, columns=["id", "audio", "text", "label", "split"])
    dataset = {
        "source": "table",
        "table": {"path": "table.csv", "columns": {"split": "split"}},
    }
    workspace.write("own.yaml", {"experiment": {"arms": ["bow_linear"]}, "dataset": dataset})
    return table


def message_of(workspace, table, *arguments):
    table.to_csv(workspace.folder / "table.csv", index=False)
    finished = workspace.snakemake("--configfile", "own.yaml", *arguments)
    assert finished.returncode != 0
    return finished.stdout


def test_the_data_are_good_before_they_are_spoilt(workspace, own_data):
    own_data.to_csv(workspace.folder / "table.csv", index=False)
    workspace.run("--configfile", "own.yaml", "--until", "divide_folds")


def test_missing_truncated_empty_and_nan_clips_all_at_once(workspace, own_data):
    whole = (workspace.folder / "u01.wav").read_bytes()
    (workspace.folder / "u01.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(workspace.folder / "u02.wav", np.zeros(0), RATE)
    soundfile.write(workspace.folder / "u04.wav", np.full(100, np.nan), RATE, subtype="FLOAT")
    (workspace.folder / "u03.wav").unlink()
    message = message_of(workspace, own_data)
    assert "4 clips cannot be used" in message
    assert "u03: u03.wav: does not exist" in message
    assert "Traceback" not in message
    assert "u01: u01.wav: is truncated" in message
    assert "u02: u02.wav: contains no samples" in message
    assert "u04: u04.wav: contains samples that are not finite" in message


def test_bad_clips_can_be_skipped(workspace, own_data):
    (workspace.folder / "u03.wav").unlink()
    own_data.to_csv(workspace.folder / "table.csv", index=False)
    skip = "audio={on_bad: skip, max_bad_share: 0.1}"
    workspace.run("--configfile", "own.yaml", "--until", "divide_folds", "--config", skip)
    (problems,) = workspace.folder.glob("results/manifest/*/problems.csv")
    assert pd.read_csv(problems)["id"].tolist() == ["u03"]
    (manifest,) = workspace.folder.glob("results/manifest/*/manifest.parquet")
    assert len(pd.read_parquet(manifest)) == 11


def test_a_typing_error_in_a_key_and_a_string_where_a_number_belongs(workspace, own_data):
    message = message_of(workspace, own_data, "--config", "finetun={}", "bow={layers: two}")
    assert "finetun: unknown key; did you mean 'finetune'?" in message
    assert "bow.layers: input should be a valid integer" in message
    assert "Traceback" not in message


def test_null_on_the_command_line_is_null_for_both_commands(workspace, own_data):
    own_data.to_csv(workspace.folder / "table.csv", index=False)
    given = ["dataset={folds: {only: null}}", "select={lasso: {n_tokens: null}}"]
    options = ["--configfile", "own.yaml", "--config", *given]
    workspace.run("--until", "divide_folds", *options)
    plan = subprocess.run(
        [interpreter(), "-c", "from speechlasso.cli import main; main()", "plan", *options],
        cwd=workspace.folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    states = {line.split("\t")[1]: line.split("\t")[-1] for line in plan.splitlines()}
    assert (states["divide_folds"], states["build_bow"]) == ("cached", "would run")
