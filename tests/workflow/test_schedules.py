"""Fine-tuning on a part of the speech, through the real Snakefile."""

from __future__ import annotations

import json

import pandas as pd

from .conftest import TABLES

ARM = {"system": "token_lm", "select": "lasso"}


def config_of(fraction: float) -> dict:
    schedule = {"scheme": "curriculum", "speech_fraction": fraction}
    override = {"finetune": {"epochs": 2, "schedule": schedule}}
    return {
        "experiment": {"name": "scarce", "arms": ["text_only", "scarce_unheard", "scarce"]},
        "arms": {
            "scarce": ARM | {"override": override},
            "scarce_unheard": ARM | {"override": override, "predict_inputs": ["text"]},
        },
    }


def test_a_part_of_the_speech_runs_fine_tuning_and_what_follows(finished, tmp_path):
    workspace = finished.copy(tmp_path / "scarce")
    workspace.write("scarce.yaml", config_of(0.25))
    options = ("--configfile", "tiny.yaml", "scarce.yaml")
    own = {
        *("schedule_examples", "finetune", "predict", "evaluate", "model_card"),
        *TABLES,
    }
    assert workspace.planned_rules(*options) == own
    workspace.run(*options)
    assert workspace.planned_rules(*options) == set()

    table = workspace.folder / "results/experiments/scarce/index.tsv"
    index = pd.read_csv(table, sep="\t").set_index("arm")
    folders, unheard = index.loc["scarce"], index.loc["scarce_unheard"]
    examples = pd.read_parquet(workspace.folder / folders["examples"] / "examples.parquet")
    assert examples.value_counts(["phase", "speech"]).to_dict() == {(0, False): 45, (1, True): 11}
    log = pd.read_csv(workspace.folder / folders["training"] / "training_log.csv")
    assert list(log["epoch"]) == [1, 2]
    predictions = pd.read_parquet(workspace.folder / folders["predictions"] / "predictions.parquet")
    assert (predictions["n_audio_tokens"] > 0).mean() > 0.9, "predicted with speech"
    assert unheard["training"] == folders["training"], "one model"
    words = pd.read_parquet(workspace.folder / unheard["predictions"] / "predictions.parquet")
    assert (words["n_audio_tokens"] == 0).all() and (words["n_text_tokens"] > 0).all()
    card = (workspace.folder / folders["training"] / "README.md").read_text()
    scores = json.loads((workspace.folder / folders["evaluation"] / "metrics.json").read_text())
    assert f"{scores['splits']['test']['macro_f1']:.3f}" in card

    workspace.write("scarce.yaml", config_of(0.5))
    assert workspace.planned_rules(*options) == own


def test_speech_of_another_language_and_a_part_of_the_target_s(workspace):
    schedule = {"scheme": "curriculum", "speech_fraction": 0.5, "target_language": "de"}
    config = {
        "experiment": {"name": "lingual", "arms": ["across"]},
        "dataset": {"demo": {"second_language": "de"}},
        "finetune": {"epochs": 2, "schedule": schedule},
        "arms": {"across": {"select": "all", "adapt": False}},
    }
    options = ("--configfile", "tiny.yaml", workspace.write("lingual.yaml", config))
    workspace.run(*options, "--until", "schedule_examples")

    (manifest, folds, examples) = (
        pd.read_parquet(next(workspace.folder.glob(f"results/*/*/{name}.parquet")))
        for name in ("manifest", "folds", "examples")
    )
    language = manifest.set_index("id")["language"]
    examples["language"] = examples["id"].map(language)
    assert examples.value_counts(["phase", "speech", "language"]).to_dict() == {
        (0, False, "en"): 15,
        (0, False, "de"): 30,
        (1, True, "en"): 15,
        (1, True, "de"): 15,
    }
    others = folds[folds["split"] != "train"]
    assert set(language[others["id"]]) == {"de"}, "they speak the target language"
