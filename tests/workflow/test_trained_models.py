"""What a run leaves in results/finetune/: models that predict from raw clips, anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from .conftest import REPOSITORY

ARMS = ["text_only", "audio_only", "lasso", "random"]
# Whoever asks for a connection ends there and then.
PROGRAM = """
import json, os, socket, sys
def refuse(*_):
    os._exit(99)
socket.socket.connect = socket.getaddrinfo = refuse
from speechlasso.cli import main
for arguments in json.loads(sys.argv[1]):
    print("---")
    assert main(arguments) == 0
"""


@pytest.fixture(scope="module")
def index(finished):
    table = finished.folder / "results/experiments/tiny/index.tsv"
    return pd.read_csv(table, sep="\t").set_index("arm")


def rows_of_run(finished, folders):
    """What the run predicted of five test rows."""
    pipeline = pd.read_parquet(finished.folder / folders["predictions"] / "predictions.parquet")
    return pipeline[pipeline["split"] == "test"].head(5)


@pytest.fixture(scope="module")
def elsewhere(finished, index, tmp_path_factory):
    """A folder with ARM.csv, what a copied model predicts from raw clips, and `screen`.

    Predicted beside the copies, with the hub out of reach and unexpected.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    corpus = finished.folder / index.loc["lasso", "demo_corpus"]
    manifest = pd.read_csv(corpus / "manifest.csv")
    manifest.drop(columns="label").to_csv(folder / "new.csv", index=False)
    commands = []
    for arm in ARMS:
        shutil.copytree(finished.folder / index.loc[arm, "training"], folder / arm)
        rows = rows_of_run(finished, index.loc[arm])
        chosen = [argument for name in rows["id"] for argument in ("--id", name)]
        files = ("--manifest", "new.csv", "--audio-root", str(corpus), "--output", f"{arm}.csv")
        commands.append(["predict", arm, *files, *chosen])
    clip = next((corpus / "wav").glob("*.wav"))
    commands.append(["predict", "lasso", "--audio", str(clip), "--text", "We love this plan."])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment["PYTHONPATH"] = str(REPOSITORY / "workflow_scripts")
    environment["HF_HOME"] = str(folder / "empty")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (folder / "screen").write_text(done.stdout.rpartition("---\n")[2])
    return folder


@pytest.mark.parametrize("arm", ARMS)
def test_a_copied_model_predicts_from_raw_clips_what_the_run_predicted(
    finished, index, elsewhere, arm
):
    rows = rows_of_run(finished, index.loc[arm])
    ours = pd.read_csv(elsewhere / f"{arm}.csv")
    assert ours["id"].tolist() == rows["id"].tolist()
    assert ours["predicted"].tolist() == rows["predicted"].tolist()
    probabilities = [name for name in rows if name.startswith("p_")]
    np.testing.assert_allclose(ours[probabilities], rows[probabilities], atol=1e-6)
    assert ours["n_audio_tokens"].tolist() == rows["n_audio_tokens"].tolist()


def test_one_clip_is_predicted_on_the_screen(finished, index, elsewhere):
    manifest = finished.folder / index.loc["lasso", "demo_corpus"] / "manifest.csv"
    screen = (elsewhere / "screen").read_text()
    assert all(label in screen for label in set(pd.read_csv(manifest)["label"]))


@pytest.mark.parametrize("arm", ["text_only", "lasso"])
def test_every_model_has_its_card(finished, index, arm):
    folders = index.loc[arm]
    text = (finished.folder / folders["training"] / "README.md").read_text()
    runs = pd.read_csv(finished.folder / "results/experiments/tiny/runs.csv")
    run = runs[(runs["arm"] == arm) & (runs["split"] == "test")].iloc[0]
    results = {
        (one.dataset_split, one.metric_name): one.metric_value
        for one in ModelCard(text).data.eval_results
    }
    assert results["test", "macro F1"] == pytest.approx(run["macro_f1"], abs=1e-4)
    assert ("selection.json" in text) == (arm == "lasso")
    if arm == "lasso":
        assert f"{folders['description']}/page.html" in text
        assert (finished.folder / folders["description"] / "page.html").is_file()
        assert f"{run['n_audio_tokens']} of" in text
