"""Jobs compute with the package beside the workflow, and say why when they cannot start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from speechlasso import __version__

from .conftest import ENVIRONMENT, REPOSITORY

DEMO_CORPUS = ("--configfile", "tiny.yaml", "--until", "demo_corpus")


def run_with_first_on_the_path(workspace, folder, *arguments):
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        workspace.command(*arguments),
        cwd=workspace.folder,
        env=ENVIRONMENT | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def other(tmp_path):
    """Scripts and package of another checkout, in another version."""
    folder = shutil.copytree(REPOSITORY / "workflow_scripts", tmp_path / "other")
    module = folder / "speechlasso/__init__.py"
    module.write_text(module.read_text().replace(f'"{__version__}"', '"9.9.9"'))
    return folder


def test_another_installed_version_is_not_used(workspace, other):
    run = run_with_first_on_the_path(workspace, other, *DEMO_CORPUS)
    assert run.returncode == 0, run.stdout
    (spec,) = workspace.folder.glob("results/demo_corpus/*/spec.json")
    assert json.loads(spec.read_text())["speechlasso"] == __version__


def test_a_process_that_has_loaded_another_version_plans_nothing(workspace, other):
    (other / "sitecustomize.py").write_text("import speechlasso\n")
    run = run_with_first_on_the_path(workspace, other, "--dry-run", *DEMO_CORPUS)
    assert run.returncode != 0
    assert f"this process has loaded {other / 'speechlasso/__init__.py'}" in run.stdout
    assert f"the workflow is that of {REPOSITORY}" in run.stdout
    assert "Traceback" not in run.stdout


def test_a_job_that_has_loaded_another_version_computes_nothing(other, tmp_path):
    log = tmp_path / "logs/job.log"
    scripts = str(REPOSITORY / "workflow_scripts")
    program = (
        "import speechlasso; from types import SimpleNamespace; "
        f"snakemake = SimpleNamespace(log=[{str(log)!r}], scriptdir={scripts!r}); "
        "import job_start; print('computing')"
    )
    path = os.pathsep.join([str(other), scripts])
    job = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert job.returncode != 0 and "computing" not in job.stdout
    assert f"would compute with {other / 'speechlasso'} (version 9.9.9)" in log.read_text()
    assert str(REPOSITORY / "workflow_scripts/speechlasso") in log.read_text()


def test_a_job_that_cannot_import_what_it_needs_says_so_in_its_log(workspace, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/soundfile.py").write_text("raise ImportError('libsndfile is broken')\n")
    run = run_with_first_on_the_path(workspace, tmp_path / "broken", *DEMO_CORPUS)
    assert run.returncode != 0
    (log,) = workspace.folder.glob("logs/demo_corpus/*.log")
    assert "ImportError: libsndfile is broken" in log.read_text()
