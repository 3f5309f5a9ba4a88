"""Whatever is wrong ends in one message that says where and what to do, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import all_bad_input  # noqa: F401 - fills CASES
import pytest
from bad_input import CASES, in_document, messages_of_jobs, run, table_in_document

from speechlasso.errors import DEBUG
from speechlasso.files import sha256

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def held(folder: Path) -> dict[Path, str]:
    return {path: sha256(path) for path in folder.rglob("*") if path.is_file()}


def only_message(folder: Path, stderr: str) -> str:
    """Of a command what it said, of a workflow what its jobs' logs say went wrong."""
    (message,) = messages_of_jobs(folder) if list(folder.glob("*.log")) else [stderr]
    assert "Traceback" not in message
    first, *more = message.strip().splitlines()
    assert all(line.startswith("  - ") for line in more[:-1]), f"more than one message: {message}"
    return message


@pytest.mark.parametrize("what", CASES)
def test_it_ends_in_one_message(what, folder, logging_as_before, capfd):
    case = CASES[what]
    command = case.make(folder)
    (folder / "results/predict/earlier").mkdir(parents=True)
    (folder / "results/predict/earlier/predictions.parquet").write_bytes(b"of an earlier run")
    before = held(folder)
    capfd.readouterr()
    assert run(command) not in (0, None)
    after = held(folder)
    assert {path: after.get(path) for path in before} == before
    message = only_message(folder, capfd.readouterr().err)
    assert case.names in message
    assert case.remedy in message


def test_with_debug_a_command_tells_where_it_arose(folder, capfd):
    command = CASES["configuration: no seeds"].make(folder)
    assert run([*command, "--debug"]) == 1
    told = capfd.readouterr().err
    assert told.startswith("Traceback") and "load_settings" in told
    assert "InputError" in told and told.strip().endswith("config.yaml explains each one.")


def test_with_debug_a_job_tells_where_it_arose(folder, logging_as_before, monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    run(CASES["table: an id twice"].make(folder))
    log = Path("manifest.log").read_text()
    assert "ids must be unique" in log and "Traceback" in log and "in read_manifest" in log


def test_the_document_has_these_cases():
    _, table, _ = in_document()
    assert table == "\n".join(table_in_document()) + "\n", "run: python tests/unit/bad_input.py"
    assert len(CASES) >= 80
