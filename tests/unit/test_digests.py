"""Digests of files: content decides, and an unchanged file is not read again."""

from __future__ import annotations

import os
import shutil

import pytest

from speechlasso import digests
from speechlasso.data.recorded_clips import RecordedClips, digest_of_clips, summary_of_clips
from speechlasso.digests import UNSETTLED, DigestCache, fingerprint
from speechlasso.errors import InputError
from speechlasso.files import sha256


@pytest.fixture
def reads(monkeypatch):
    """The paths of all files that are read for their digest."""
    paths = []
    monkeypatch.setattr(digests, "sha256", lambda path: paths.append(path) or sha256(path))
    return paths


@pytest.fixture
def settled(monkeypatch):
    """Files are taken for settled as soon as they are written."""
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**10))


def digest(tmp_path, path):
    cache = DigestCache(tmp_path / "digests.json")
    found = cache.digests([str(path)])[str(path)]
    cache.save()
    return found


def test_a_settled_file_is_read_once(tmp_path, reads, settled):
    path = tmp_path / "table.csv"
    path.write_text("old")
    first = digest(tmp_path, path)
    assert digest(tmp_path, path) == first == sha256(path)
    assert reads == [str(path)]


def test_an_older_file_of_the_same_size_is_noticed(tmp_path, settled):
    path, other = tmp_path / "table.csv", tmp_path / "other.csv"
    path.write_text("old")
    first = digest(tmp_path, path)
    other.write_text("new")
    os.utime(other, (1, 1))
    other.replace(path)
    assert digest(tmp_path, path) == sha256(path) != first


def test_content_written_under_the_old_times_is_noticed(tmp_path, settled):
    path = tmp_path / "table.csv"
    path.write_text("old")
    times = path.stat()
    digest(tmp_path, path)
    path.write_text("new")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(tmp_path, path) == sha256(path)


def test_a_touched_file_is_read_once_more_and_no_oftener(tmp_path, reads, settled):
    path = tmp_path / "table.csv"
    path.write_text("same")
    first = digest(tmp_path, path)
    os.utime(path, (1, 1))
    assert digest(tmp_path, path) == digest(tmp_path, path) == first
    assert len(reads) == 2


def test_what_was_just_written_may_change_within_a_tick_and_is_read_again(tmp_path, reads):
    path = tmp_path / "table.csv"
    path.write_text("new")
    assert fingerprint(str(path)).status == UNSETTLED
    digest(tmp_path, path)
    digest(tmp_path, path)
    assert len(reads) == 3


def test_files_that_cannot_be_read_have_no_digest(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    paths = [str(tmp_path / name) for name in ("absent", "pipe", "file", "file/below", "\0")]
    found = DigestCache(tmp_path / "digests.json").digests([*paths, str(tmp_path)])
    assert [path for path, value in found.items() if value] == [paths[2]]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": ["x", 1]}', "\xff"])
def test_a_damaged_cache_costs_reading_only(tmp_path, content):
    (tmp_path / "digests.json").write_text(content, encoding="latin-1")
    path = tmp_path / "table.csv"
    path.write_text("new")
    assert digest(tmp_path, path) == sha256(path)


@pytest.fixture
def clips(tmp_path, settled):
    """Two clips and their record, read back from its file, with a third that is missing."""
    paths = [str(tmp_path / name) for name in ("a.wav", "b.wav", "missing.wav")]
    for path in paths[:2]:
        with open(path, "w") as file:
            file.write(path)
    RecordedClips({path: fingerprint(path) for path in paths}).write(tmp_path / "clips.parquet")
    return RecordedClips.read(tmp_path / "clips.parquet")


def test_the_record_of_clips_is_read_back(clips):
    assert clips.fingerprints == {path: fingerprint(path) for path in clips.fingerprints}
    assert [digest is None for digest in clips.digests.values()] == [False, False, True]


def test_few_clips_of_many_can_be_read(clips, tmp_path):
    one, _, missing = clips.fingerprints
    some = RecordedClips.read(tmp_path / "clips.parquet", [missing, one])
    assert some.fingerprints == {clip: clips.fingerprints[clip] for clip in (one, missing)}


def test_unchanged_clips_are_not_read(clips, reads):
    clips.require_unchanged(list(clips.fingerprints))
    assert reads == []


def test_a_copied_clip_is_the_same_and_a_replaced_one_is_named(clips, reads):
    one, other, _ = clips.fingerprints
    shutil.copy(one, f"{one}.copy")
    os.replace(f"{one}.copy", one)
    clips.require_unchanged([one])
    clips.require_unchanged([one])
    assert reads == [one]
    shutil.copy(one, other)
    with pytest.raises(InputError, match=r"b\.wav: is not the clip that the manifest lists"):
        clips.require_unchanged([one, other])


def test_clips_are_those_that_were_planned(clips):
    clips.require_digest(None)
    clips.require_digest(digest_of_clips(clips.digests))
    with pytest.raises(InputError, match="Clips were replaced"):
        clips.require_digest(digest_of_clips({**clips.digests, "missing.wav": "0"}))


def test_exchanged_clips_are_another_content():
    assert digest_of_clips({"a": "1", "b": "2"}) != digest_of_clips({"a": "2", "b": "1"})
    assert digest_of_clips({"a": "1", "b": "2"}) == digest_of_clips({"b": "2", "a": "1"})


def test_clips_in_short_have_the_digest_of_the_key(tmp_path):
    (tmp_path / "b.wav").write_bytes(b"b")
    names = [f"{tmp_path}/é.wav", f"{tmp_path}/b.wav", f"{tmp_path}/a.wav"]
    clips = RecordedClips({name: fingerprint(name) for name in names})
    clips.write(tmp_path / "clips.parquet")
    found = summary_of_clips(tmp_path / "clips.parquet")
    assert found == {"n": 3, "missing": 2, "sha256": digest_of_clips(clips.digests)}
