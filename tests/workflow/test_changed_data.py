"""Content decides: changed tables, clips and models run anew, touched ones do not."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from .conftest import TABLES, Workspace, make_workspace

RATE = 16_000
N_CLIPS = 24
MINE = ("--configfile", "mine.yaml")
OF_AUDIO = {"manifest", "divide_folds", "fit_tokenizer", "tokenize_audio", "build_bow"}


def write_clip(workspace: Workspace, number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tone = np.sin(np.arange(RATE // 2) * (0.05 + 0.05 * (seed % 2)))
    sound = 0.5 * tone + 0.01 * rng.standard_normal(len(tone))
    soundfile.write(workspace.folder / f"u{number}.wav", sound, RATE)


def permute_labels(workspace: Workspace) -> None:
    """Put a table of other labels into the old one's place, as if it had been written before."""
    path = workspace.folder / "table.csv"
    table = pd.read_csv(path)
    # Within the parts, so that each keeps rows of both classes.
    labels = table.groupby("split")["label"].transform(lambda part: np.roll(part, 1))
    table.assign(label=labels).to_csv(path, index=False)
    os.utime(path, (10**9, 10**9))


@pytest.fixture(scope="module")
def two_arms(tmp_path_factory, tiny_lm) -> Workspace:
    """An experiment of two linear arms that has run; do not run anything in it, but in a copy."""
    workspace = make_workspace(tmp_path_factory.mktemp("two-arms"), tiny_lm)
    rows = []
    for number in range(N_CLIPS):
        write_clip(workspace, number, seed=number)
        split = ["train", "train", "validation", "test"][number * 4 // N_CLIPS]
        label = ["calm", "tense"][number % 2]
        rows.append([f"u{number}", f"u{number}.wav", f"words {label}", label, split])
    columns = ["id", "audio", "text", "label", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(workspace.folder / "table.csv", index=False)
    table = {"path": "table.csv", "columns": {"split": "split"}}
    experiment = {
        "experiment": {"name": "mine", "arms": ["words", "bow_linear"]},
        "arms": {"words": {"inputs": ["text"], "system": "bow_linear"}},
        "dataset": {"source": "table", "table": table},
        "tokenizer": {"method": "spectral_rvq", "n_layers": 2, "codebook_size": 8},
        "select": {"lasso": {"alpha": 0.1}},
    }
    workspace.write("mine.yaml", experiment)
    workspace.run(*MINE)
    return workspace


def labels_scored(workspace: Workspace) -> dict[str, dict[str, str]]:
    """The labels that each arm's predictions were scored against."""
    folder = workspace.folder
    index = pd.read_csv(folder / "results/experiments/mine/index.tsv", sep="\t")
    predictions = {
        run.arm: pd.read_parquet(folder / run.predictions / "predictions.parquet")
        for run in index.itertuples()
    }
    return {arm: dict(zip(p["id"], p["label"], strict=True)) for arm, p in predictions.items()}


def test_permuted_labels_in_an_older_table_reach_every_arm(two_arms, tmp_path):
    workspace = two_arms.copy(tmp_path / "copy")
    before = (workspace.folder / "table.csv").read_bytes()
    permute_labels(workspace)
    workspace.run(*MINE, "--config", "experiment={arms: [words]}")
    rules = workspace.planned_rules(*MINE)
    assert rules == {
        *("fit_path", "select_tokens", "describe_selection", "fit_linear", "evaluate"),
        *TABLES,
    }
    workspace.run(*MINE)
    table = pd.read_csv(workspace.folder / "table.csv")
    expected = dict(zip(table["id"], table["label"], strict=True))
    assert labels_scored(workspace) == {"words": expected, "bow_linear": expected}

    (workspace.folder / "table.csv").write_bytes(before)
    assert workspace.planned_rules(*MINE) == TABLES


def test_a_replaced_clip_is_noticed_also_after_a_run_that_stopped_early(two_arms, tmp_path):
    workspace = two_arms.copy(tmp_path / "copy")
    before = (workspace.folder / "u3.wav").read_bytes()
    write_clip(workspace, 3, seed=103)
    os.utime(workspace.folder / "u3.wav", (10**9, 10**9))
    assert workspace.planned_rules(*MINE) >= OF_AUDIO
    workspace.run(*MINE, "--until", "manifest")
    assert workspace.planned_rules(*MINE) >= OF_AUDIO - {"manifest"}

    (workspace.folder / "u3.wav").write_bytes(before)
    assert workspace.planned_rules(*MINE) == set()


def test_touched_files_change_nothing(two_arms, tmp_path):
    workspace = two_arms.copy(tmp_path / "copy")
    for path in (workspace.folder / "table.csv", *workspace.folder.glob("*.wav")):
        os.utime(path)
    assert workspace.planned_rules(*MINE) == set()


def test_jobs_of_a_cluster_plan_without_the_data(two_arms, tmp_path):
    workspace = two_arms.copy(tmp_path / "copy")
    as_job = ("--mode", "remote", *MINE)
    for path in workspace.folder.glob("*.wav"):
        path.unlink()
    assert workspace.planned_rules(*as_job) == set()
    assert workspace.planned_rules(*MINE) >= OF_AUDIO
    os.remove(workspace.folder / "results/experiments/mine/observed.json")
    assert "observed.json: missing" in workspace.snakemake("--dry-run", *as_job).stdout


def test_a_replaced_language_model_trains_all_seeds_anew(two_arms, tiny_lm, tmp_path):
    from transformers import AutoModel

    workspace = two_arms.copy(tmp_path / "copy")
    shutil.copytree(tiny_lm, workspace.folder / "lm")
    options = (
        *("--until", "finetune", "--configfile", "mine.yaml"),
        *("--config", "experiment={arms: [text_only]}", "lm={name: lm}", "finetune={epochs: 1}"),
    )
    workspace.run(*options, "seeds=[1]")
    assert workspace.planned_rules(*options, "seeds=[1]") == set()
    model = AutoModel.from_pretrained(tiny_lm)
    model.embeddings.word_embeddings.weight.data *= 2
    model.save_pretrained(workspace.folder / "lm")
    assert "finetune" in workspace.planned_rules(*options, "seeds=[1]")
    stats = workspace.run("--dry-run", *options, "seeds=[1, 2]").split("Job stats:")[-1]
    assert stats.split("finetune")[1].split()[0] == "2"
