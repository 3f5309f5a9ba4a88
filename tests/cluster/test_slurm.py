"""The shipped profile on a real Slurm: the same results as on a workstation, also after a kill.

Its data come from there, its shards are of another size, and neither shows in any result.
"""

from __future__ import annotations

import shutil
import subprocess
import time

import pandas as pd
import pytest

from speechlasso.tokenizers.codes import CodeTable
from tests.workflow.conftest import REPOSITORY

# One node that keeps no accounts, and little patience.
HERE = [
    *("--profile", str(REPOSITORY / "profiles/slurm")),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"),
    *("--latency-wait", "10"),
]
ARMS = ["lasso", "bow_linear"]
SHARD = 30  # utterances; the workstation has 50
RESULTS = [
    *("select_tokens/*/selection.json", "token_texts/*/token_texts.parquet"),
    *("adapt_lm/*/rows.safetensors", "finetune/*/model.safetensors"),
    *("*/*/predictions.parquet", "evaluate/*/metrics.json"),
]


def jobs(slurm):
    """All jobs since the start: number, state, rule with wildcards, memory asked for, minutes."""
    asked = ["squeue", "--states=all", "--noheader", "--format=%i|%T|%k|%m|%l"]
    listed = subprocess.run(asked, env=slurm, capture_output=True, text=True, check=True).stdout
    columns = ["id", "state", "rule", "memory", "time"]
    return pd.DataFrame([line.split("|") for line in listed.splitlines()], columns=columns)


def cancel_first(rule, slurm, process):
    """Cancel the first job of a rule once it runs, as a cluster does that takes a node away."""
    while process.poll() is None:
        known = jobs(slurm)
        found = known[known["rule"].str.contains(rule) & (known["state"] == "RUNNING")]
        if len(found):
            subprocess.run(["scancel", found["id"].iloc[0]], env=slurm, check=True)
            return found.iloc[0]
        time.sleep(0.5)
    return None


def codes(workspace):
    """The codes of each utterance, and the number of files that hold them."""
    shards = sorted(workspace.folder.glob("results/tokenize_audio/*/shard-*.parquet"))
    return {name: part.tolist() for name, part in CodeTable.read(shards).codes.items()}, len(shards)


def summary(workspace):
    table = pd.read_csv(workspace.folder / "results/experiments/tiny/summary.csv")
    return table[table["arm"].isin(ARMS)].reset_index(drop=True)


@pytest.fixture
def workspace(finished, tmp_path):
    """Copied along from a workstation, but for what follows the data."""
    copy = finished.copy(tmp_path / "workspace")
    for stage in copy.folder.glob("results/*/"):
        if stage.name not in ("demo_corpus", "manifest", "divide_folds"):
            shutil.rmtree(stage)
    return copy


@pytest.mark.slow
def test_slurm_and_other_shards_give_what_a_workstation_gives(slurm, finished, workspace):
    log = workspace.folder / "snakemake.log"
    settings = ("--config", f"experiment={{arms: {ARMS}}}", f"audio={{shard_size: {SHARD}}}")
    with log.open("w") as stream:
        process = subprocess.Popen(
            workspace.command("--configfile", "tiny.yaml", *settings, *HERE),
            cwd=workspace.folder,
            env=slurm | {"HF_HUB_OFFLINE": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        cancelled = cancel_first("rule_fit_tokenizer", slurm, process)
        assert process.wait() == 0, log.read_text()
    known = jobs(slurm)
    assert not known["rule"].str.contains("demo_corpus|manifest").any()
    again = known[known["rule"] == cancelled["rule"]].astype({"id": int}).sort_values("id")
    assert again["state"].tolist() == ["CANCELLED", "COMPLETED"]
    assert again["memory"].tolist() == ["4000M", "8000M"]

    (ours, n_ours), (theirs, n_theirs) = codes(workspace), codes(finished)
    assert (n_ours, n_theirs) == (3, 2)
    assert ours == theirs
    for pattern in RESULTS:
        paths = sorted((workspace.folder / "results").glob(pattern))
        assert paths, pattern
        for path in paths:
            other = finished.folder / path.relative_to(workspace.folder)
            assert path.read_bytes() == other.read_bytes(), path
    pd.testing.assert_frame_equal(summary(workspace), summary(finished), check_exact=True)
