"""The real Snakefile, run in a folder of its own on tiny data with a tiny language model."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .warm_python import interpreter

REPOSITORY = Path(__file__).resolve().parents[2]
CORES = "2"
TABLES = {"summarise", "analyse", "provenance", "report", "all"}
"""Rules that run whenever a run of the experiment is another one."""

# A few voices and epochs: enough for every rule to do its real work.
TINY = {
    "experiment": {"name": "tiny"},
    "seeds": [1],
    "dataset": {
        "demo": {
            "train_speakers": 3,
            "validation_speakers": 1,
            "test_speakers": 2,
            "utterances_per_speaker": 15,
        }
    },
    "audio": {"shard_size": 50},
    "tokenizer": {"method": "spectral_rvq", "n_layers": 2, "codebook_size": 16},
    "select": {"lasso": {"alpha": 0.5}},
    "adapt": {"epochs": 1},
    "finetune": {"epochs": 1, "micro_batch_size": 16},
}


@dataclass(frozen=True)
class Workspace:
    """A folder where experiments run."""

    folder: Path

    def write(self, name: str, config: dict) -> str:
        (self.folder / name).write_text(yaml.safe_dump(config))
        return name

    def command(self, *arguments: str, python: str = sys.executable) -> list[str]:
        snakefile = REPOSITORY / "Snakefile"
        return [
            *(python, "-m", "snakemake", "--snakefile", str(snakefile)),
            *("--workflow-profile", str(REPOSITORY / "profiles/default")),
            *("--directory", str(self.folder), "--cores", CORES, *arguments),
        ]

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; stdout and stderr in `stdout`.

        With another environment Python starts anew; see warm_python.
        """
        python = sys.executable if environment else interpreter()
        finished = subprocess.run(
            self.command(*arguments, python=python),
            cwd=self.folder,
            env=ENVIRONMENT | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert TOKEN not in finished.stdout
        return finished

    def run(self, *arguments: str, **environment: str) -> str:
        finished = self.snakemake(*arguments, **environment)
        assert finished.returncode == 0, finished.stdout
        return finished.stdout

    def planned_rules(self, *arguments: str) -> set[str]:
        """Names of the rules that a run would execute."""
        output = self.run("--dry-run", *arguments)
        if "Nothing to be done" in output:
            return set()
        table = output.split("Job stats:")[-1].split("total")[0]
        return set(re.findall(r"^(\w+) +\d+$", table, flags=re.MULTILINE))

    def copy(self, folder: Path) -> Workspace:
        shutil.copytree(self.folder, folder)
        return Workspace(folder)


READS = "reads"
"""Where the run of `finished` writes down what its scripts read; see reads/sitecustomize.py."""


TOKEN = "hf_ThisIsSecretAndStandsNowhere"
"""Of the Hugging Face hub, as a user has one."""
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_TOKEN": TOKEN}


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that the first of several test processes makes, and all of them use."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # theirs lie in it
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def save_tiny_bert(folder: Path) -> None:
    """A masked language model of the default's class, with a few thousand random weights."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *letters]
    (folder / "vocab.txt").write_text("\n".join([*words, *(f"##{letter}" for letter in letters)]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words) + len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory) -> str:
    """A tiny language model, the same in all test processes."""
    return str(made_once(tmp_path_factory, "tiny-bert", save_tiny_bert))


def make_workspace(folder: Path, tiny_lm: str) -> Workspace:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "config.yaml", folder)
    workspace = Workspace(folder)
    workspace.write("tiny.yaml", {**TINY, "lm": {"name": tiny_lm}})
    return workspace


@pytest.fixture
def workspace(tmp_path, tiny_lm) -> Workspace:
    """An empty one."""
    return make_workspace(tmp_path / "workspace", tiny_lm)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_lm) -> Workspace:
    """One in which the tiny experiment has run; do not run anything in it, but in a copy."""

    def make(folder: Path) -> None:
        workspace = make_workspace(folder, tiny_lm)
        (folder / READS).mkdir()
        modules = os.pathsep.join(
            [str(Path(__file__).parent / READS), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        workspace.run("--configfile", "tiny.yaml", PYTHONPATH=modules, READS=READS)

    return Workspace(made_once(tmp_path_factory, "finished", make))
