"""A corpus that holds validation or test utterances is found out by name and by sound."""

from __future__ import annotations

import pandas as pd
import pytest

from speechlasso.files import sha256, write_json
from speechlasso.language_model.corpus_overlap import corpus_overlap, overlapping_arms


@pytest.fixture
def clip(tmp_path):
    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def table(*rows, **columns):
    return pd.DataFrame(rows, columns=["id", "audio"]).assign(**columns)


@pytest.fixture
def examples(clip):
    clips = [[clip(f"e{i}.wav", f"sound {i}".encode())] for i in range(5)]
    split = ["train", "train", "validation", "test", "test"]
    return table(*zip("abcde", clips, strict=True), split=split)


def overlap(corpus, examples, by_id):
    clips = [clip for rows in (corpus, examples) for row in rows["audio"] for clip in row]
    return corpus_overlap(corpus, examples, {clip: sha256(clip) for clip in clips}, by_id)


def either(found):
    return found["validation"]["either"], found["test"]["either"]


def test_training_rows_and_strangers_are_no_overlap(examples, clip, caplog):
    corpus = table(("a", examples["audio"][0]), ("x", [clip("x.wav", b"sound X")]))
    found = overlap(corpus, examples, by_id=True)
    assert either(found) == (0, 0)
    assert found["test"] == {"n_rows": 2, "same_id": 0, "same_clip": 0, "either": 0}
    assert not caplog.records


def test_the_same_id_or_the_same_bytes_under_another_name_are_found(examples, clip, caplog):
    corpus = table(("d", [clip("x.wav", b"sound X")]), ("y", [clip("copy.wav", b"sound 2")]))
    found = overlap(corpus, examples, by_id=True)
    assert found["test"] == {"n_rows": 2, "same_id": 1, "same_clip": 0, "either": 1}
    assert found["validation"] == {"n_rows": 1, "same_id": 0, "same_clip": 1, "either": 1}
    assert "holds 1 of the 2 test rows (1 by id, 0 by clip)" in caplog.text


def test_line_numbers_are_no_names(examples, clip):
    corpus = table(("d", [clip("x.wav", b"sound X")]))
    assert either(overlap(corpus, examples, by_id=False)) == (0, 0)


def test_segments_of_one_recording_overlap_where_they_have_a_stretch_in_common(clip):
    long = [clip("long.wav", b"an hour")]
    examples = table(
        ("a", long), ("b", long), split=["test", "test"], start=[0.0, 5.0], end=[5.0, 9.0]
    )
    copy = [clip("copy.wav", b"an hour")]
    corpus = table(("x", copy), start=[6.0], end=[7.0])
    assert either(overlap(corpus, examples, by_id=True)) == (0, 1)
    whole = table(("x", copy))
    assert either(overlap(whole, examples, by_id=True)) == (0, 2)


def test_arms_whose_corpus_overlaps_are_named_once(tmp_path):
    for name, either in (("clean", 0), ("seen", 3)):
        write_json(tmp_path / name, {"test": {"either": either}})
    write_json(tmp_path / "splits", {})
    files = {"a": ["clean"], "b": ["seen", "seen"], "c": ["splits"], "d": ["clean", "seen"]}
    paths = {arm: [str(tmp_path / name) for name in names] for arm, names in files.items()}
    assert overlapping_arms({**paths, "text": []}) == ["b", "d"]
