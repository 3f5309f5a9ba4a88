"""Baselines beside the method, through the real Snakefile: each runs alone and shares stages."""

from __future__ import annotations

import json

import pandas as pd

from tests.unit import tiny_codecs

from .conftest import TABLES

FINETUNE = {"finetune": {"epochs": 2}}
BASELINES = {
    "experiment": {"name": "baselines", "arms": ["bow_linear", "classic", "recurrent", "joined"]},
    "encoder": {"model": "encoder", "layers": [1, 3]},
    "arms": {
        "classic": {"system": "mfcc_linear", "inputs": ["audio"], "C": [0.001, 0.01]},
        "recurrent": {"system": "mfcc_lstm", "hidden_size": 8, "override": FINETUNE},
        "joined": {"system": "text_ssl", "projection_size": 4, "override": FINETUNE},
        "classic_words": {"system": "mfcc_linear", "C": [0.001]},
    },
}
OPTIONS = ("--configfile", "tiny.yaml", "baselines.yaml")
EVALUATION = {"evaluate", *TABLES}


def test_each_runs_beside_finished_arms_and_another_one_shares_its_frames(finished, tmp_path):
    workspace = finished.copy(tmp_path / "baselines")
    folder = workspace.folder
    tiny_codecs.save(folder / "encoder", tiny_codecs.whisper)
    workspace.write("baselines.yaml", BASELINES)
    # Nothing of bow_linear, which has run; words alone are counted, and rows without words listed.
    own = {"fit_linear_mfcc_linear", "finetune_mfcc_lstm", "finetune_text_ssl", "predict"}
    assert workspace.planned_rules(*OPTIONS) == {
        *("encode_audio", "build_bow", "token_texts"),
        *own,
        *EVALUATION,
    }
    workspace.run(*OPTIONS)
    assert workspace.planned_rules(*OPTIONS) == set()

    experiment = folder / "results/experiments/baselines"
    index = pd.read_csv(experiment / "index.tsv", sep="\t").set_index("arm")
    assert index.loc["classic", "frames"] == index.loc["recurrent", "frames"]
    assert index.loc["joined", "frames"] != index.loc["classic", "frames"]
    for arm in ("classic", "recurrent", "joined"):
        training = json.loads((folder / index.loc[arm, "training"] / "training.json").read_text())
        assert training["trainable_parameters"] > 0 and training["train_seconds"] > 0
        assert training["environment"] and training["validation_macro_f1"]
    runs = pd.read_csv(experiment / "runs.csv").set_index("arm")
    assert (runs[["trainable_parameters", "train_seconds", "peak_memory_mb"]] > 0).all(axis=None)
    read = runs["mean_sequence_length"].notna()
    assert set(runs.index[read]) == {"recurrent", "joined"}
    assert (runs.loc["recurrent", "mean_audio_tokens"] > 20).all(), "frames"
    assert (runs.loc["joined", "mean_text_tokens"] > 0).all()

    more = "experiment={arms: [bow_linear, classic, recurrent, joined, classic_words]}"
    assert workspace.planned_rules(*OPTIONS, "--config", more) == {
        "fit_linear_mfcc_linear",
        *EVALUATION,
    }
