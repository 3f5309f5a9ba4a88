"""What a run leaves in results/finetune/: models that predict from raw clips, anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from .conftest import REPOSITORY

# Whoever asks for a connection ends there and then.
PROGRAM = """
import os, socket, sys
def refuse(*_):
    os._exit(99)
socket.socket.connect = socket.getaddrinfo = refuse
from speechlasso.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def index(finished):
    table = finished.folder / "results/experiments/tiny/index.tsv"
    return pd.read_csv(table, sep="\t").set_index("arm")


def predict_elsewhere(model, *arguments):
    """Run the command beside a copied model, with the hub out of reach and unexpected."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment["PYTHONPATH"] = str(REPOSITORY / "workflow_scripts")
    environment["HF_HOME"] = str(model.parent / "empty")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "predict", str(model), *map(str, arguments)],
        cwd=model.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("arm", ["text_only", "audio_only", "lasso", "random"])
def test_a_copied_model_predicts_from_raw_clips_what_the_run_predicted(
    finished, index, tmp_path, arm
):
    folders = index.loc[arm]
    model = shutil.copytree(finished.folder / folders["training"], tmp_path / "model")
    pipeline = pd.read_parquet(finished.folder / folders["predictions"] / "predictions.parquet")
    rows = pipeline[pipeline["split"] == "test"].head(5)
    manifest = finished.folder / folders["demo_corpus"] / "manifest.csv"
    columns = pd.read_csv(manifest).columns.drop("label")
    pd.read_csv(manifest)[columns].to_csv(tmp_path / "new.csv", index=False)
    chosen = [argument for name in rows["id"] for argument in ("--id", name)]
    options = ("--manifest", "new.csv", "--audio-root", manifest.parent, "--output", "out.csv")
    predict_elsewhere(model, *options, *chosen)
    ours = pd.read_csv(tmp_path / "out.csv")
    assert ours["id"].tolist() == rows["id"].tolist()
    assert ours["predicted"].tolist() == rows["predicted"].tolist()
    probabilities = [name for name in rows if name.startswith("p_")]
    np.testing.assert_allclose(ours[probabilities], rows[probabilities], atol=1e-6)
    assert ours["n_audio_tokens"].tolist() == rows["n_audio_tokens"].tolist()


def test_one_clip_is_predicted_on_the_screen(finished, index, tmp_path):
    folders = index.loc["lasso"]
    model = shutil.copytree(finished.folder / folders["training"], tmp_path / "model")
    clip = next((finished.folder / folders["demo_corpus"] / "wav").glob("*.wav"))
    output = predict_elsewhere(model, "--audio", clip, "--text", "We love this plan.")
    labels = pd.read_csv(finished.folder / folders["demo_corpus"] / "manifest.csv")["label"]
    assert all(label in output for label in set(labels))


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
