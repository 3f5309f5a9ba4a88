"""An arm that fuses the predictions of others, through the real Snakefile."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from .conftest import TABLES

FUSED = {
    "experiment": {"name": "fused", "arms": ["text_only", "bow_linear", "both"]},
    # Of them bow_linear is light, and audio_only is no arm of this experiment.
    "arms": {"both": {"system": "late_fusion", "arms": ["bow_linear", "audio_only", "text_only"]}},
}
OPTIONS = ("--configfile", "tiny.yaml", "fused.yaml")


def read_predictions(folder, index, part):
    frame = pd.read_parquet(folder / index.loc["both", part] / "predictions.parquet")
    return frame.set_index("id")


def test_fusion_runs_beside_finished_arms_and_again_when_one_of_them_changes(finished, tmp_path):
    workspace = finished.copy(tmp_path / "fused")
    folder = workspace.folder
    workspace.write("fused.yaml", FUSED)
    own = {"fit_linear_late_fusion", "evaluate", *TABLES}
    assert workspace.planned_rules(*OPTIONS) == own
    workspace.run(*OPTIONS)
    assert workspace.planned_rules(*OPTIONS) == set()

    experiment = folder / "results/experiments/fused"
    index = pd.read_csv(experiment / "index.tsv", sep="\t").set_index("arm")
    before = pd.read_csv(folder / "results/experiments/tiny/index.tsv", sep="\t").set_index("arm")
    for role, arm in (("arm_1", "bow_linear"), ("arm_2", "audio_only"), ("arm_3", "text_only")):
        assert index.loc["both", role] == before.loc[arm, "predictions"]
    own_parts = index.loc[["both"]].dropna(axis=1)
    assert not {"select", "adapt", "description"} & set(own_parts)

    training = json.loads((folder / index.loc["both", "training"] / "training.json").read_text())
    fused = read_predictions(folder, index, "predictions")
    columns = [name for name in fused if name.startswith("p_")]
    expected = sum(
        weight * read_predictions(folder, index, role).loc[fused.index, columns]
        for role, weight in training["weights"].items()
    )
    np.testing.assert_allclose(fused[columns], expected, rtol=1e-9)
    runs = pd.read_csv(experiment / "runs.csv").query("arm == 'both'")
    assert set(runs["n_audio_tokens"]) == {0}  # it has no selection of its own
    assert (runs["mean_audio_tokens"] > 0).all()
    assert (runs["mean_text_tokens"] > 0).all()
    assert set(runs["trainable_parameters"]) == {3} and (runs["train_seconds"] > 0).all()
    assert "both" in (experiment / "report.html").read_text()

    changed = {"arms": {"bow_linear": {"C": [0.1]}}}
    workspace.write("changed.yaml", changed)
    assert workspace.planned_rules(*OPTIONS, "changed.yaml") == own | {"fit_linear"}
