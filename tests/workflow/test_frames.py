"""Frames of a speech encoder: computed once, shared by whoever reads them."""

from __future__ import annotations

import shutil

import pandas as pd
from transformers import LlamaConfig

from speechlasso.features.frame_files import FrameFiles
from tests.unit import tiny_codecs
from tests.unit.tiny_audio_lm import save_audio_lm
from tests.unit.tiny_models import save_chat

from .conftest import TABLES

POOLED = {
    "experiment": {"name": "pooled", "arms": ["first", "all", "tokens", "heard", "asked", "whole"]},
    "encoder": {"model": "encoder", "layers": "all"},
    "arms": {
        "first": {"system": "pooled_linear", "inputs": ["audio"], "layers": [0], "C": [0.01]},
        "all": {"system": "pooled_linear", "classifier": "linear_svm"},
        "heard": {"system": "learned", "transcription": {"epochs": 1, "warm_up_epochs": 1}},
        "asked": {
            "system": "small_speech_lm",
            "transcription": {"epochs": 1, "warm_up_epochs": 1},
            "override": {"lm": {"name": "chat", "max_length": 400}},
        },
        "whole": {"system": "speech_lm", "model": "audio_lm"},
        "tokens": {
            "system": "bow_linear",
            "select": "all",
            "override": {
                "tokenizer": {
                    "method": "hidden_state_codes",
                    "layers": [1, 3],
                    "pooling": "frame",
                    "n_components": 8,
                    "n_groups": 4,
                    "codebook_size": 8,
                }
            },
        },
    },
}
OPTIONS = ("--configfile", "tiny.yaml", "pooled.yaml")
AFTER_POOLED = {"fit_linear_pooled_linear", "evaluate", *TABLES}
AFTER_FRAMES = {
    *("fit_tokenizer", "tokenize_audio", "build_bow", "select_tokens", "fit_linear"),
    *("finetune_learned", "finetune_small_speech_lm", "predict"),
    *AFTER_POOLED,
}


def test_the_encoder_runs_once_for_all_that_read_its_frames(finished, tmp_path):
    workspace = finished.copy(tmp_path / "pooled")
    tiny_codecs.save(workspace.folder / "encoder", tiny_codecs.whisper)
    save_chat(workspace.folder / "chat", LlamaConfig)
    save_audio_lm(workspace.folder / "audio_lm")
    workspace.write("pooled.yaml", POOLED)
    assert workspace.planned_rules(*OPTIONS) == {
        *("encode_audio", "finetune_speech_lm"),
        *AFTER_FRAMES,
    }
    workspace.run(*OPTIONS)
    (frames,) = workspace.folder.glob("results/encode_audio/*")
    shards = sorted(frames.glob("shard-*.safetensors"))
    assert len(shards) == 2
    runs = pd.read_csv(workspace.folder / "results/experiments/pooled/runs.csv")
    assert set(runs.loc[runs["arm"] == "tokens", "n_audio_tokens"]) == {4 * 8}
    assert (
        len(dict(FrameFiles(shards).read())) == runs.loc[runs["arm"] == "all", "n_examples"].sum()
    )
    heard = runs[runs["arm"].isin(["heard", "asked"])]
    # 50 frames a second, and 8 of them to a vector.
    assert heard["mean_audio_tokens"].between(3, 30).all() and (heard["mean_text_tokens"] > 1).all()
    # 25 vectors of each second that it hears itself.
    whole = runs[runs["arm"] == "whole"]
    assert whole["mean_audio_tokens"].between(20, 50).all()
    assert workspace.planned_rules(*OPTIONS) == set()
    another = "arms={first: {layers: [2]}}"
    assert workspace.planned_rules(*OPTIONS, "--config", another) == AFTER_POOLED
    shutil.rmtree(workspace.folder / "encoder")
    tiny_codecs.save(workspace.folder / "encoder", tiny_codecs.hubert)
    assert workspace.planned_rules(*OPTIONS) == {"encode_audio", *AFTER_FRAMES}
