"""Frames on disk come back as they were, but for half precision."""

from __future__ import annotations

import numpy as np
import pytest

from speechlasso.errors import InputError
from speechlasso.features.frame_files import FrameFiles, FrameKind, write_frames


@pytest.fixture
def shards(tmp_path):
    rng = np.random.default_rng(0)
    frames = {f"u{i}": rng.normal(size=(n, 3, 5)) for i, n in enumerate((4, 1, 7))}
    kind = FrameKind([0, 2, 5], 50.0, {"model": "tiny"})
    paths = [tmp_path / "shard-0-of-2.safetensors", tmp_path / "shard-1-of-2.safetensors"]
    write_frames(paths[0], {name: frames[name] for name in ("u2", "u0")}, kind)
    write_frames(paths[1], {"u1": frames["u1"]}, kind)
    return frames, paths


def test_each_utterance_has_its_own_frames(shards):
    frames, paths = shards
    found = dict(FrameFiles(paths).read())
    assert list(found) == ["u2", "u0", "u1"]
    for name, array in found.items():
        assert array.dtype == np.float16
        np.testing.assert_array_equal(array, frames[name].astype(np.float16))
    assert FrameFiles(paths).kind == FrameKind([0, 2, 5], 50.0, {"model": "tiny"})


def test_layers_are_named_as_the_model_numbers_them(shards):
    frames, paths = shards
    for name, array in FrameFiles(paths).read([5, 0]):
        np.testing.assert_array_equal(array, frames[name].astype(np.float16)[:, [2, 0]])


def test_some_utterances_are_read_alone(shards):
    _, paths = shards
    assert [name for name, _ in FrameFiles(paths).read(ids={"u1", "u2"})] == ["u2", "u1"]


def test_any_utterance_is_read_at_any_time(shards):
    frames, paths = shards
    by_id = FrameFiles(paths).by_id([5, 0])
    for name in ("u1", "u0", "u2"):
        expected = frames[name].astype(np.float16)[:, [2, 0]]
        assert by_id.n_frames(name) == len(expected)
        np.testing.assert_array_equal(by_id.read(name), expected)
        np.testing.assert_array_equal(by_id.read(name, 2), expected[:2])
    with pytest.raises(InputError, match=r"\[1\] are not among the layers"):
        FrameFiles(paths).by_id([1])


def test_a_layer_that_is_not_kept_is_named(shards):
    _, paths = shards
    with pytest.raises(InputError, match=r"\[1\] are not among the layers \[0, 2, 5\]"):
        dict(FrameFiles(paths).read([0, 1]))


def test_same_frames_same_bytes(shards, tmp_path):
    frames, paths = shards
    write_frames(
        tmp_path / "again.safetensors",
        {"u1": frames["u1"]},
        FrameKind([0, 2, 5], 50.0, {"model": "tiny"}),
    )
    assert (tmp_path / "again.safetensors").read_bytes() == paths[1].read_bytes()


def test_a_shard_whose_utterances_were_all_left_out_is_read_like_any_other(shards, tmp_path):
    _, paths = shards
    empty = tmp_path / "shard-2-of-3.safetensors"
    write_frames(empty, {}, FrameFiles(paths).kind)
    assert list(dict(FrameFiles([*paths, empty]).read())) == ["u2", "u0", "u1"]
