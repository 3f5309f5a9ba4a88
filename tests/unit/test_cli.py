"""The command speechlasso."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from speechlasso import __version__
from speechlasso.cli import main
from speechlasso.config import Settings, json_schema
from speechlasso.plan import make_plan
from speechlasso.tokenizers import BACKENDS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copy(REPOSITORY / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def make_results(folder, **settings):
    """Folders and specs of all variants, as a finished run leaves them."""
    plan = make_plan(Settings(**settings))
    for variants in plan.variants.values():
        for variant in variants.values():
            path = folder / variant.folder
            path.mkdir(parents=True, exist_ok=True)
            for name in ["spec.json", *(f"shard-{i}.spec.json" for i in range(plan.n_shards))]:
                (path / name).write_text("{}")
    return plan


def test_version(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"speechlasso {__version__}\n"


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"plan", "prune", "tokenizers", "schema"} <= set(capsys.readouterr().out.split())


def test_plan_tells_what_is_cached_and_what_would_run(folder, capsys):
    assert main(["plan"]) == 0
    output = capsys.readouterr().out
    assert "would run" in output
    assert "cached" not in output
    make_results(folder)
    main(["plan"])
    assert "would run" not in capsys.readouterr().out
    main(["plan", "--config", "select={lasso: {alpha: 3}}"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "tokenize_audio" in line and "cached" in line]
    assert [line for line in lines if "select_tokens" in line and "would run" in line]


def test_prune_lists_and_deletes_what_no_configuration_reaches(folder, capsys):
    plan = make_results(folder)
    other = make_results(folder, seeds=[1, 2, 7])
    extra = {v.folder for vs in other.variants.values() for v in vs.values()} - {
        v.folder for vs in plan.variants.values() for v in vs.values()
    }
    assert main(["prune"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in extra)
    assert f"{len(extra)} folders" in listed
    assert all((folder / name).is_dir() for name in extra), "listing deletes nothing"
    main(["prune", "--config", "seeds=[1, 2, 7]"])
    assert "0 folders" in capsys.readouterr().out
    main(["prune", "--delete"])
    assert not any((folder / name).exists() for name in extra)
    assert all((folder / run.folders()["evaluate"]).is_dir() for run in plan.runs)


def test_prune_keeps_what_any_given_experiment_reaches(folder, capsys):
    make_results(folder)
    make_results(folder, seeds=[7])
    (folder / "seven.yaml").write_text("seeds: [7]")
    main(["prune", "--configfile", "seven.yaml"])
    assert "0 folders" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--configfile", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["plan", "--config", "select"], "expected KEY=VALUE"),
        (["plan", "--config", "finetun={}"], "did you mean 'finetune'?"),
    ],
)
def test_mistakes_end_with_a_message_and_exit_code_1(folder, capsys, arguments, message):
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_schema(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == json_schema()


def test_every_tokenizer_has_its_card(capsys):
    assert main(["tokenizers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in BACKENDS] == list(BACKENDS)
    for key in ("Codes", "Learns", "Settings", "Source"):
        assert sum(line.strip().startswith(f"{key}:") for line in lines) == len(BACKENDS)
