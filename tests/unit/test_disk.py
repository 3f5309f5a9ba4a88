"""A full, read-only or forbidden disk, and names that stand for no file of their own."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from speechlasso import files
from speechlasso.cli import main
from speechlasso.data import demo_corpus
from speechlasso.digests import DigestCache
from speechlasso.errors import InputError, refused_by_disk
from speechlasso.experiment.job import _remove_unfinished, job

FULL = 10_000
MANY = np.random.default_rng(0).standard_normal(5_000)


@pytest.fixture
def hardly_any_room():
    """Files end after some bytes, as they do on a disk that is full, but with EFBIG."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_clip(path, _):
    demo_corpus.make_demo_corpus(path.parent, seed=0, utterances_per_speaker=1)


def write_weights(path, array):
    with files.written_whole(path) as temporary:
        save_file({"weights": array}, temporary)


@pytest.mark.parametrize(
    "write",
    [
        files.write_array,
        write_weights,
        lambda path, array: files.write_arrays(path, {"a": array}),
        lambda path, array: files.write_text(path, str(array.tolist())),
        lambda path, array: files.write_csv(path, pd.DataFrame(array)),
        lambda path, array: files.write_parquet(path, pd.DataFrame({"a": array})),
        write_clip,
    ],
)
def test_a_full_disk_is_told_with_the_file_of_which_nothing_is_left(
    tmp_path, hardly_any_room, write
):
    with pytest.raises(InputError, match=rf"^{tmp_path}/[\w./-]+: grew larger than"):
        write(tmp_path / "result", MANY)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "place: the disk is full; make room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "place: your share of the disk"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "place: the disk is"),
        (OSError(errno.EROFS, "Read-only file system", "a.csv"), "place: the disk is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "a.csv"), "place: may not be read or"),
    ],
)
def test_every_refusal_has_its_words(error, words):
    assert str(refused_by_disk(error, "place")).startswith(words)
    own = getattr(error, "filename", None)
    assert str(refused_by_disk(error)).startswith(own or str(error))


def test_temporary_files_that_find_no_room_have_their_words():
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "['/tmp']: make room in one of them, or name" in str(refused_by_disk(error))


def test_other_errors_are_no_refusals():
    assert refused_by_disk(FileNotFoundError(errno.ENOENT, "No such file", "a.csv")) is None
    assert refused_by_disk(ValueError("a mistake of ours")) is None


def test_a_file_that_is_read_meanwhile_is_named_itself(tmp_path):
    refused = pytest.raises(InputError, match=r"^of\.others: may not be read")
    with refused, files.written_whole(tmp_path / "mine"):
        raise PermissionError(errno.EACCES, "Permission denied", "of.others")


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_job_says_it_without_a_traceback(tmp_path, logging_as_before, kind):
    log = tmp_path / "rule.log"
    rule = SimpleNamespace(params={}, input={}, output=[], wildcards={}, log=[log], rule="any")
    with pytest.raises(SystemExit) as ended, job(rule):
        raise kind(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/x/model.safetensors")
    assert ended.value.code == 1
    assert "the disk is full" in log.read_text() and "model.safetensors" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("spec", "output", "wildcards", "unfinished", "kept"),
    [
        (True, ["model.json"], {}, ["model.json", "clips/a.wav", "of-others.csv"], []),
        # The tables of an experiment are written at the same time, in one folder.
        (False, ["errors.csv"], {}, ["errors.csv"], ["summary.csv", "errors_by_group.csv"]),
        (
            True,
            ["shard-1-of-12.parquet", "shard-1-of-12.spec.json"],
            {"shard": "1"},
            ["shard-1-of-12.parquet", "shard-1-of-12.spec.json"],
            ["shard-11-of-12.parquet", "shard-0-of-12.spec.json"],
        ),
    ],
)
def test_a_job_removes_what_a_killed_one_left_and_nothing_of_others(
    tmp_path, spec, output, wildcards, unfinished, kept
):
    # As long as it is not ended, each is as if killed.
    writers = [files.written_whole(tmp_path / "results" / name) for name in unfinished + kept]
    left = [writer.__enter__() for writer in writers]
    finished = tmp_path / "results/.notes.txt"
    finished.touch()
    rule = SimpleNamespace(params={"spec": spec}, wildcards=wildcards)
    rule.output = [tmp_path / "results" / name for name in output]
    _remove_unfinished(rule)
    assert [path for path in left if path.exists()] == left[len(unfinished) :]
    assert finished.exists()


def test_digests_that_cannot_be_kept_stop_nothing(tmp_path, caplog):
    (tmp_path / "table.csv").write_text("a")
    os.utime(tmp_path / "table.csv", (1, 1))
    (tmp_path / "results").write_text("no folder")
    cache = DigestCache(tmp_path / "results/.digests.json")
    cache._is_new = True
    cache.save()
    assert "is a file where a folder is expected" in caplog.text


def test_a_command_whose_output_finds_no_room_says_so():
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", "from speechlasso.cli import main; raise SystemExit(main())"]
            + ["schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 1
    assert "the disk is full" in ended.stderr and "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    for name, target in (("link.csv", "real.csv"), ("dangling.csv", "new.csv")):
        (tmp_path / name).symlink_to(target)
        files.write_text_where_named(tmp_path / name, "a,b\n")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_text() == "a,b\n"


def test_an_ordinary_file_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(ZeroDivisionError), files.written_where_named(tmp_path / "out.csv") as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.csv", "old")]


def test_a_pipe_is_written_into(tmp_path):
    pipe, received = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    files.write_text_where_named(pipe, "a,b\n")
    reader.join()
    assert received == ["a,b\n"] and pipe.is_fifo()


def test_a_device_is_written_into():
    files.write_text_where_named("/dev/null", "a,b\n")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(InputError, match="^/dev/full: the disk is full"):
        files.write_text_where_named("/dev/full", "a,b\n")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["/dev/stdout", "out.csv"])
def test_stdout_that_goes_to_a_file_keeps_what_is_in_it(tmp_path, name):
    code = "import sys; from speechlasso.files import write_text_where_named as write\n"
    writing = f"{sys.executable} -c '{code}write(sys.argv[1], sys.argv[2])' {name}"
    subprocess.run(f"(echo a; {writing} b; echo c) > out.csv", shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "out.csv").read_text() == "a\nbc\n"


def test_a_folder_is_no_output(tmp_path, capsys):
    with pytest.raises(InputError, match=f"^{tmp_path}: is a folder; name a file"):
        files.write_text_where_named(tmp_path, "a,b\n")
    assert main(["plan", "--configfile", str(tmp_path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_cache_of_the_hub_that_cannot_be_written_is_told_with_its_setting():
    from speechlasso.hub import readable_errors

    refused = pytest.raises(InputError, match=r"hub/x: may not be read or written .*\n.*HF_HOME")
    with refused, readable_errors("lm.name", "owner/model"):
        raise PermissionError(errno.EACCES, "Permission denied", "hub/x")
