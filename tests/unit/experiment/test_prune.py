"""Only folders that a plan made are deleted, only here, and only while nobody needs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plans import leave_results, plan

from speechlasso.cli import main
from speechlasso.experiment import prune

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def old_folders(tmp_path, monkeypatch):
    """Folders of results that no configuration reaches any more, in the working folder."""
    shutil.copy(REPOSITORY / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    old = plan(experiment={"arms": ["bow_linear"]}, seeds=[7], dataset={"demo": {"seed": 5}})
    leave_results(old)
    return sorted(Path(v.folder) for of_stage in old.variants.values() for v in of_stage.values())


def test_nothing_is_deleted_while_a_run_holds_the_lock(old_folders, capsys):
    lock = Path(".snakemake/locks/0.input.lock")
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert main(["prune"]) == 0
    assert main(["prune", "--delete"]) == 1
    assert "snakemake --unlock" in capsys.readouterr().err
    assert all(folder.is_dir() for folder in old_folders)
    lock.unlink()
    assert main(["prune", "--delete"]) == 0
    assert not any(folder.exists() for folder in old_folders)


def test_a_run_without_a_lock_is_seen_too(old_folders, capsys, tmp_path):
    (tmp_path / "snakemake").write_text("input()")
    with subprocess.Popen([sys.executable, "snakemake"], stdin=subprocess.PIPE) as running:
        assert main(["prune", "--delete"]) == 1
        running.communicate(b"\n")
    assert f"process {running.pid}: " in capsys.readouterr().err
    assert all(folder.is_dir() for folder in old_folders)


def test_a_run_that_starts_meanwhile_keeps_what_is_left(old_folders, capsys, monkeypatch):
    def deleted_as_a_run_starts(folder):
        shutil.rmtree(folder)
        Path(".snakemake/locks").mkdir(parents=True)
        Path(".snakemake/locks/0.input.lock").touch()

    monkeypatch.setattr(prune, "shutil", type("shutil", (), {"rmtree": deleted_as_a_run_starts}))
    assert main(["prune", "--delete"]) == 1
    assert sum(folder.is_dir() for folder in old_folders) == len(old_folders) - 1


def test_what_no_plan_made_is_kept(old_folders, capsys):
    by_hand = [Path("results/finetune", name) for name in ("best", "model-2026112612")]
    copied = Path("results/fit_linear", "a copy of mine")
    shutil.copytree(next(f for f in old_folders if f.parent.name == "fit_linear"), copied)
    for folder in by_hand:
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text('{"stage": "thesis"}')
    assert main(["prune", "--delete"]) == 0
    printed = capsys.readouterr().out
    assert all(f"kept     {folder}: " in printed for folder in (*by_hand, copied))
    assert all(folder.is_dir() for folder in (*by_hand, copied))
    assert not any(folder.exists() for folder in old_folders)


@pytest.mark.parametrize("level", ["results", "results/fit_linear", "a folder"])
def test_nothing_behind_a_link_is_deleted(old_folders, capsys, level):
    folder = next(f for f in old_folders if f.parent.name == "fit_linear")
    link = folder if level == "a folder" else Path(level)
    elsewhere = link.rename("elsewhere")
    link.symlink_to(elsewhere.resolve())
    assert main(["prune", "--delete"]) == 0
    assert f"{link} is a link: delete where that leads to" in capsys.readouterr().out
    assert link.is_symlink() and (folder / "spec.json").is_file()


def test_what_links_inside_lead_to_stays_and_is_not_counted(old_folders, capsys):
    Path("clips").mkdir()
    Path("clips/a.wav").write_bytes(bytes(10**6))
    (old_folders[0] / "clips").symlink_to(Path("clips").resolve())
    (old_folders[0] / "a.wav").symlink_to(Path("clips/a.wav").resolve())
    assert main(["prune", "--delete"]) == 0
    assert " 0.0 MB: deleted" in capsys.readouterr().out
    assert not old_folders[0].exists() and Path("clips/a.wav").is_file()


def test_what_is_half_deleted_does_not_count_as_whole(old_folders, monkeypatch):
    def refused(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(prune, "shutil", type("shutil", (), {"rmtree": refused}))
    assert main(["prune", "--delete"]) == 1
    first = next(folder for folder in old_folders if folder.parent.name == "demo_corpus")
    assert first.is_dir() and not (first / "spec.json").exists()
