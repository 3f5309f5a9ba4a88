"""With what a job computed, and in what runs of one table differ."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy
import pytest
import torch
import transformers

from speechlasso.evaluation.environments import differences
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel
from speechlasso.pipeline.provenance import code_version, environment, hub_commit, machine
from speechlasso.pipeline.stages import AdaptLM, FinetuneLM
from speechlasso.training.devices import autocast, best_device

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_versions_are_those_of_the_libraries():
    found = environment(Finetune())
    assert found["numpy"] == numpy.__version__
    assert found["transformers"] == transformers.__version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["device"]
    json.dumps(found)


def test_a_light_job_loads_no_torch():
    program = (
        "import sys; from speechlasso.pipeline.provenance import environment; "
        "from speechlasso.pipeline.stages import Evaluate; found = environment(Evaluate()); "
        "sys.exit('torch' in sys.modules or 'torch' in found or 'numpy' not in found)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_the_precision_is_what_autocast_makes_of_it(precision):
    lm = LanguageModel(precision=precision)
    found = environment(FinetuneLM(arm={"system": "token_lm"}, lm=lm, finetune=Finetune(), seed=1))[
        "precision"
    ]
    ones = torch.ones(2, 2, device=best_device())
    with autocast(precision, best_device()):
        product = (ones @ ones).dtype
    assert found == {torch.bfloat16: "bf16", torch.float32: "fp32"}[product]


def test_adaptation_with_small_weights_is_in_bf16():
    stage = AdaptLM(lm=LanguageModel(precision="fp32"), adapt=Adapt(weights="bf16"), seed=1)
    assert environment(stage)["precision"] == "bf16"


def test_the_commit_of_a_model_of_the_hub_and_of_a_folder(tmp_path, monkeypatch):
    cache = tmp_path / "models--owner--name"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text(COMMIT)
    snapshot = cache / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert hub_commit(LanguageModel(name="owner/name")) == COMMIT
    assert hub_commit(LanguageModel(name="owner/other")) is None
    assert hub_commit(LanguageModel(name=str(snapshot))) is None


def test_what_differs_is_named_with_its_arms():
    old, new = {"torch": "2.1", "device": "A100"}, {"torch": "2.2", "device": "A100"}
    assert differences({"a": [old, old], "b": [old]}) == []
    assert differences({"a": [old, new], "b": [new]}) == ["torch: 2.1 (a); 2.2 (a, b)"]


def git(folder, *arguments):
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "workflow"
    folder.mkdir()
    (folder / "Snakefile").write_text("rule all:\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "Snakefile")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_the_commit_of_a_workflow_and_whether_it_is_changed(repository, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    assert code_version(repository) == {"commit": commit, "changed": False, "told": None}
    # Results and the like lie in the folder, too.
    (repository / "results").mkdir()
    (repository / "results/table.csv").write_text("a")
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))
    assert code_version(repository)["changed"] is False
    (repository / "Snakefile").write_text("rule other:\n")
    assert code_version(repository) == {"commit": commit, "changed": True, "told": None}


def test_what_git_does_not_tell_is_said_in_plain_words(repository, tmp_path, monkeypatch):
    told = {"commit": None, "changed": None}
    alone = "the workflow's folder is not a git repository"
    assert code_version(tmp_path) == told | {"told": alone}
    # A copy in the repository of somebody's project has no commit of its own.
    inside = repository / "copy"
    inside.mkdir()
    (inside / "Snakefile").write_text("rule all:\n")
    assert code_version(inside) == told | {"told": alone}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_version(repository) == told | {"told": "git is not installed"}


def test_the_settings_of_a_repository_start_no_program(repository, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    assert code_version(repository)["told"] is None
    assert not (tmp_path / "started").exists()
    git(repository, "status")
    assert (tmp_path / "started").exists(), "git alone starts it"


def test_the_machine():
    found = machine()
    assert found["cores"] >= 1 and found["processor"] and found["system"]
    assert found["memory_mb"] > 256
