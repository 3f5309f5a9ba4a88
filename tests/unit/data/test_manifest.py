"""The manifest: any table format, every problem at once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechlasso.audio import clip_check
from speechlasso.audio.clip_check import check_clip
from speechlasso.data.manifest import drop_bad_clips, find_clip_problems, read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.errors import InputError

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
        lines = [ROWS.columns, *ROWS.itertuples(index=False)]
        path.write_text("\n".join("\t".join(cells) for cells in lines) + "\n")
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


def test_languages_are_kept_where_their_column_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,label,audio,spoken\nu,x,a,1.wav, de \nv,x,a,2.wav,NA\n")
    assert "language" not in read_manifest(Table(path=str(path)))
    table = Table(path=str(path), columns={"language": "spoken"})
    assert read_manifest(table)["language"].tolist() == ["de", "NA"]
    path.write_text("id,text,label,audio,spoken\nu,x,a,1.wav,\n")
    with pytest.raises(InputError, match=r"row 2 \(id 'u'\): the language is empty"):
        read_manifest(table)


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


def test_a_missing_column_that_nothing_is_near_to_is_told_all_the_same(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,label,audio\nu,x,a,1.wav\n")
    with pytest.raises(InputError, match=r"columns\.group: no column 'zzz'\nThe table has: id, t"):
        read_manifest(Table(path=str(path), columns=Columns(group="zzz")))


def test_columns_have_their_order_whatever_the_tables(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("to,part,who,label,audio,text,id\n1,test,s,a,1.wav,x,u\n")
    columns = Columns(split="part", group="who", end="to")
    manifest = read_manifest(Table(path=str(path), columns=columns))
    head, tail = ["id", "text", "label", "audio"], ["start", "end"]
    assert manifest.columns.tolist() == [*head, "split", "group", *tail]
    assert manifest.index.tolist() == [0]


def test_repeated_ids_are_told_in_the_order_of_their_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,label,audio\n" + "".join(f"{i},x,a,1.wav\n" for i in "zbazb"))
    with pytest.raises(InputError) as caught:
        read_manifest(Table(path=str(path)))
    assert [line.split(";")[0] for line in str(caught.value).splitlines()[1:-1]] == [
        "  - id 'z' occurs in rows 2, 5",
        "  - id 'b' occurs in rows 3, 6",
    ]


def test_unknown_formats_and_empty_tables_are_refused(tmp_path):
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(InputError, match="unknown kind of table"):
        read_manifest(Table(path=str(tmp_path / "t.xlsx")))
    (tmp_path / "t.csv").write_text("id,text,label,audio\n")
    with pytest.raises(InputError, match="no rows"):
        read_manifest(Table(path=str(tmp_path / "t.csv")))


def segments(folder, rows, **columns):
    """The manifest of rows of id, clips, start and end."""
    path = folder / "t.csv"
    lines = ["id,audio,from,to,text,label", *(f"{row},x,a" for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    columns = columns or {"start": "from", "end": "to"}
    return read_manifest(Table(path=str(path), columns=Columns(**columns)))


def test_segments_are_seconds_and_open_where_the_table_is_empty(tmp_path):
    manifest = segments(tmp_path, ["u,a.wav,1.25,2", "v,a.wav,,3e0", "w,a.wav, 4 ,", "x,b.wav|c,,"])
    assert manifest["start"].dtype == manifest["end"].dtype == np.float64
    np.testing.assert_array_equal(manifest["start"], [1.25, np.nan, 4, np.nan])
    np.testing.assert_array_equal(manifest["end"], [2, 3, np.nan, np.nan])


def test_a_table_with_ends_alone_has_open_starts(tmp_path):
    manifest = segments(tmp_path, ["u,a.wav,1.25,2"], end="to")
    assert manifest.columns.tolist()[-2:] == ["start", "end"]
    assert manifest["start"].isna().all() and manifest["end"].tolist() == [2]


def test_without_segments_the_manifest_has_no_columns_for_them(tmp_path):
    manifest = segments(tmp_path, ["u,a.wav,1.25,2"], id="id")
    assert manifest.columns.tolist() == ["id", "text", "label", "audio"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "object"])
def test_missing_numbers_of_any_type_are_open(tmp_path, dtype):
    frame = ROWS.assign(start=pd.array([None, 0.5, None], dtype="Float64").astype(dtype))
    frame = frame.assign(clips="a.wav")
    frame.to_parquet(tmp_path / "t.parquet")
    columns = COLUMNS.model_copy(update={"start": "start"})
    manifest = read_manifest(Table(path=str(tmp_path / "t.parquet"), columns=columns))
    np.testing.assert_array_equal(manifest["start"], [np.nan, 0.5, np.nan])


def test_all_bad_segments_at_once_beside_other_mistakes(tmp_path):
    rows = ["u,a.wav,2,1", "v,a.wav,-1,", "w,a.wav|b.wav,1,2", 'x,a.wav,one,"2,5"', ",a.wav,1,2"]
    with pytest.raises(InputError) as caught:
        segments(tmp_path, rows)
    message = str(caught.value)
    assert "6 bad rows" in message
    assert "row 2 (id 'u'): its segment ends at 1.0 s, not after its start at 2.0 s" in message
    assert "row 3 (id 'v'): its segment starts at -1.0 s, before its clip" in message
    assert "row 4 (id 'w'): a segment lies in a single clip, but the row names several" in message
    assert "row 5 (id 'x'): 'one' is no number of seconds such as 12.5" in message
    assert "row 5 (id 'x'): '2,5' is no number of seconds such as 12.5" in message
    assert "row 6: the id is empty" in message


def test_a_long_recording_is_checked_once_and_each_segment_against_its_end(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000), 16_000)
    checked = []

    def counted(clip):
        checked.append(clip)
        return check_clip(clip)

    monkeypatch.setattr(clip_check, "check_clip", counted)
    rows = [f"u{i},long.wav,{i / 1000},{i / 1000 + 0.012}" for i in range(1000)]
    problems = find_clip_problems(segments(tmp_path, rows), threads=2)
    assert checked == [f"{tmp_path}/long.wav"]
    assert problems["id"].tolist() == [f"u{i}" for i in range(999, 1000)]
    assert problems["problem"][0] == "its segment ends at 1.011 s, but its clip at 1.000 s"


def test_a_bad_recording_is_one_line_however_many_rows_name_it(tmp_path):
    rows = [f"u{i},gone.wav,{i},{i + 1}" for i in range(100)]
    manifest = segments(tmp_path, [*rows, "v,gone too.wav,,"])
    problems = find_clip_problems(manifest)
    assert len(problems) == 101
    with pytest.raises(InputError) as caught:
        drop_bad_clips(manifest, problems, "error", 0.5)
    lines = str(caught.value).splitlines()[1:-1]
    assert lines == [
        f"  - u0 and 99 more: {tmp_path}/gone.wav: does not exist",
        f"  - v: {tmp_path}/gone too.wav: does not exist",
    ]


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
    # A share that is reached is not exceeded; what is left is numbered anew.
    left = drop_bad_clips(clips[::-1].reset_index(drop=True), problems, "skip", 0.75)
    pd.testing.assert_frame_equal(left, clips[:1])
    with pytest.raises(InputError, match=r"3 of 4 utterances .* audio\.max_bad_share: 0\.5"):
        drop_bad_clips(clips, problems, "skip", 0.5)


def test_a_table_of_text_alone_needs_neither_ids_nor_clips(tmp_path):
    path = write(tmp_path, "csv")
    columns = COLUMNS.model_copy(update={"id": None, "audio": None})
    manifest = read_manifest(Table(path=str(path), columns=columns))
    assert manifest.columns.tolist() == ["id", "text", "label"]
    assert manifest["id"].tolist() == ["2", "3", "4"]
    problems = find_clip_problems(manifest)
    assert problems.empty
    assert drop_bad_clips(manifest, problems, "error", 0.0).equals(manifest)


def test_further_columns_are_kept_as_text_under_their_own_names(tmp_path):
    rows = ROWS.assign(microphone=[" near", None, "far"], room=[7, 8, 7.5])
    rows.to_parquet(tmp_path / "t.parquet")
    columns = COLUMNS.model_copy(update={"more": ["room", "microphone"]})
    manifest = read_manifest(Table(path=str(tmp_path / "t.parquet"), columns=columns))
    assert list(manifest) == ["id", "text", "label", "audio", "room", "microphone"]
    assert manifest["microphone"].tolist() == ["near", "", "far"]
    assert [float(room) for room in manifest["room"]] == [7, 8, 7.5]
    assert pd.api.types.is_string_dtype(manifest["room"])
    columns = COLUMNS.model_copy(update={"more": ["rom"]})
    with pytest.raises(InputError, match=r"columns\.more: no column 'rom'; did you mean 'room'"):
        read_manifest(Table(path=str(tmp_path / "t.parquet"), columns=columns))


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["label"], "'label' cannot be kept under this name"),
        (["room", " clip "], "' clip ' cannot be kept under this name"),
        ([""], "'' cannot be kept"),
        (["room", "room "], "each column once"),
    ],
)
def test_further_columns_have_names_of_their_own(names, problem):
    with pytest.raises(ValueError, match=problem):
        Columns(more=names)
