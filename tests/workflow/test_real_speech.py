"""The EmoDB experiment on the real recordings, one fold, with a tiny language model."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from .conftest import REPOSITORY


@pytest.mark.shared
@pytest.mark.slow
def test_one_fold_of_emodb(workspace, shared_data, tiny_lm):
    shutil.copytree(REPOSITORY / "experiments", workspace.folder / "experiments")
    table = shared_data / "emodb" / "manifest.csv"
    workspace.write(
        "small.yaml",
        {
            "experiment": {
                "arms": ["lasso", "random", "bow_linear", "bow_linear_all", "pooled_linear"]
            },
            "seeds": [1],
            "dataset": {"folds": {"choose_on": "validation_rows"}},  # or all runs four times
            "lm": {"name": tiny_lm},
            "adapt": {"epochs": 1},
            "finetune": {"epochs": 1},
        },
    )
    workspace.run(
        *("--configfile", "experiments/emodb.yaml", "small.yaml", "--config"),
        f"dataset={{table: {{path: {table}}}, folds: {{only: ['03']}}}}",
    )
    runs = pd.read_csv(workspace.folder / "results/experiments/emodb/runs.csv", dtype={"fold": str})
    test = runs[runs["split"] == "test"].set_index("arm")
    linear = {"bow_linear", "bow_linear_all", "pooled_linear"}
    assert set(test.index) == {"lasso", "random"} | linear
    assert set(test["fold"]) == {"03"}
    assert (test["n_examples"] == 49).all(), "speaker 03 spoke 49 utterances"
    # Chance is 1/7; tokens of Whisper's states say more than spectral ones (0.4 to 0.5 here).
    assert (test.loc[list(linear), "uar"] > 0.55).all()
