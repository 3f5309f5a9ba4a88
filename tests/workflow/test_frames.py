"""Frames of a speech encoder: computed once, shared by whoever reads them."""

from __future__ import annotations

import shutil

import pandas as pd

from speechlasso.features.frame_files import FrameFiles
from tests.unit import tiny_codecs

POOLED = {
    "experiment": {"name": "pooled", "arms": ["first", "all"]},
    "encoder": {"model": "encoder"},
    "arms": {
        "first": {"system": "pooled_linear", "inputs": ["audio"], "layers": [0], "C": [0.01]},
        "all": {"system": "pooled_linear", "classifier": "linear_svm"},
    },
}
OPTIONS = ("--configfile", "tiny.yaml", "pooled.yaml")
AFTER_FRAMES = {"fit_linear_pooled_linear", "evaluate", "summarise", "report", "all"}


def test_the_encoder_runs_once_for_all_that_read_its_frames(finished, tmp_path):
    workspace = finished.copy(tmp_path / "pooled")
    tiny_codecs.save(workspace.folder / "encoder", tiny_codecs.whisper)
    workspace.write("pooled.yaml", POOLED)
    # The words' counts stand apart from those of a run with audio tokens.
    assert workspace.planned_rules(*OPTIONS) == {"encode_audio", "build_bow", *AFTER_FRAMES}
    workspace.run(*OPTIONS)
    (frames,) = workspace.folder.glob("results/encode_audio/*")
    shards = sorted(frames.glob("shard-*.safetensors"))
    assert len(shards) == 2
    runs = pd.read_csv(workspace.folder / "results/experiments/pooled/runs.csv")
    assert (
        len(dict(FrameFiles(shards).read())) == runs.loc[runs["arm"] == "all", "n_examples"].sum()
    )
    assert workspace.planned_rules(*OPTIONS) == set()
    another = "arms={first: {layers: [2]}}"
    assert workspace.planned_rules(*OPTIONS, "--config", another) == AFTER_FRAMES
    shutil.rmtree(workspace.folder / "encoder")
    tiny_codecs.save(workspace.folder / "encoder", tiny_codecs.hubert)
    assert workspace.planned_rules(*OPTIONS) == {"encode_audio", *AFTER_FRAMES}
