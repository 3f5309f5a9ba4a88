"""The manifest: any table format, every problem at once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechlasso.config import Columns, Table
from speechlasso.errors import InputError
from speechlasso.manifest import drop_bad_clips, find_clip_problems, read_manifest

ROWS = pd.DataFrame(
    {
        "utterance": ["u1", "007", "NA"],
        "words": ['He said, "no"', " stray spaces ", ""],
        "class": ["a", "b", "a"],
        "clips": ["a.wav", "b.wav|sub/c.wav", "d.wav"],
    }
)
COLUMNS = Columns(id="utterance", text="words", label="class", audio="clips")


def write(folder, kind):
    path = folder / f"table.{kind}"
    if kind == "csv":
        ROWS.to_csv(path, index=False)
    elif kind == "tsv":
        ROWS.to_csv(path, index=False, sep="\t")
    elif kind == "parquet":
        ROWS.to_parquet(path)
    else:
        lines = ROWS.assign(clips=ROWS["clips"].str.split("|")).to_dict("records")
        path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_every_format_gives_the_same_manifest(tmp_path, kind):
    manifest = read_manifest(Table(path=str(write(tmp_path, kind)), columns=COLUMNS))
    assert manifest["id"].tolist() == ["u1", "007", "NA"]
    assert manifest["text"].tolist() == ['He said, "no"', "stray spaces", ""]
    assert manifest["audio"].tolist() == [
        [f"{tmp_path}/a.wav"],
        [f"{tmp_path}/b.wav", f"{tmp_path}/sub/c.wav"],
        [f"{tmp_path}/d.wav"],
    ]


def test_audio_root_and_separator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,label,audio\nu,x,a,1.wav;2.wav\n")
    manifest = read_manifest(Table(path=str(path), audio_root="/data", audio_separator=";"))
    assert manifest["audio"][0] == ["/data/1.wav", "/data/2.wav"]


def test_all_bad_rows_at_once(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,label,audio\nu,x,a,1.wav\nu,x,,2.wav\n,x,a,3.wav\nv,x,a,\n")
    with pytest.raises(InputError) as caught:
        read_manifest(Table(path=str(path)))
    message = str(caught.value)
    assert "id 'u' occurs in rows 2, 3; ids must be unique" in message
    assert "row 3 (id 'u'): the label is empty" in message
    assert "row 4: the id is empty" in message
    assert "row 5 (id 'v'): no clip is named" in message


def test_missing_columns_name_the_nearest(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,txt,label,audio\nu,x,a,1.wav\n")
    with pytest.raises(InputError, match=r"columns\.text: no column 'text'; did you mean 'txt'\?"):
        read_manifest(Table(path=str(path)))


def test_unknown_formats_and_empty_tables_are_refused(tmp_path):
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(InputError, match="unknown kind of table"):
        read_manifest(Table(path=str(tmp_path / "t.xlsx")))
    (tmp_path / "t.csv").write_text("id,text,label,audio\n")
    with pytest.raises(InputError, match="no rows"):
        read_manifest(Table(path=str(tmp_path / "t.csv")))


@pytest.fixture
def clips(tmp_path):
    """Four utterances: one good, three that cannot be used."""
    tone = np.sin(np.arange(1600) / 5).astype(np.float32)
    soundfile.write(tmp_path / "good.wav", tone, 16000)
    soundfile.write(tmp_path / "empty.wav", tone[:0], 16000)
    soundfile.write(tmp_path / "nan.wav", tone * np.nan, 16000, subtype="FLOAT")
    names = ["good", "missing", "empty", "nan"]
    audio = [[str(tmp_path / f"{name}.wav")] for name in names]
    return pd.DataFrame({"id": names, "audio": audio})


def test_every_bad_clip_is_found(clips):
    problems = find_clip_problems(clips, threads=2)
    assert problems["id"].tolist() == ["missing", "empty", "nan"]
    assert problems["clip"].tolist() == [paths[0] for paths in clips["audio"][1:]]


def test_bad_clips_are_an_error_that_lists_them_all(clips):
    with pytest.raises(InputError) as caught:
        drop_bad_clips(clips, find_clip_problems(clips), "error", 0.5)
    for name in ("missing", "empty", "nan"):
        assert f"{name}: " in str(caught.value)
    assert "audio.on_bad: skip" in str(caught.value)


def test_bad_clips_can_be_skipped_up_to_a_share(clips):
    problems = find_clip_problems(clips)
    assert drop_bad_clips(clips, problems, "skip", 0.8)["id"].tolist() == ["good"]
    with pytest.raises(InputError, match=r"3 of 4 utterances .* audio\.max_bad_share: 0\.5"):
        drop_bad_clips(clips, problems, "skip", 0.5)
