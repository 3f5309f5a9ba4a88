"""What JSONL and Parquet can hold beside texts."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_tables import COLUMNS, manifest_of, message_of, written

from speechlasso.data.manifest import count_rows, group_names
from speechlasso.data.settings import Columns, Table
from speechlasso.data.table_reading import read_table
from speechlasso.errors import InputError


def test_numbers_in_jsonl_stay_as_they_are_written(tmp_path):
    ids = ["1e5", "100000", "1.0", "12345678901234567890123", "-0", "0.10"]
    lines = [f'{{"id": {number}, "text": {number}, "label": true}}' for number in ids]
    path = written(tmp_path, "t.jsonl", "\r\n".join(lines))
    manifest = manifest_of(path, Columns(audio=None))
    assert manifest["id"].tolist() == manifest["text"].tolist() == ids
    assert manifest["label"].unique().tolist() == ["True"]


def test_what_json_has_for_no_number_is_nothing_and_infinity_is_a_word(tmp_path):
    lines = [f'{{"id": "{n}", "text": {n}, "label": "a"}}' for n in ("NaN", "Infinity", "null")]
    manifest = manifest_of(written(tmp_path, "t.jsonl", "\n".join(lines)), Columns(audio=None))
    assert manifest["text"].tolist() == ["", "Infinity", ""]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_columns_that_a_table_lacks_are_left_out(tmp_path, kind):
    content = {"csv": b"id,b\nu,1\n", "tsv": b"id\tb\nu\t1\n", "jsonl": b'{"id": "u", "b": "1"}'}
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"id": ["u"], "b": ["1"]}), path)
    else:
        path.write_bytes(content[kind])
    table = read_table(path, {"group": "none", "text": "b"})
    assert table.names == ["id", "b"]
    assert table.cells.to_dict("list") == {"text": ["1"]}


def test_broken_lines_of_jsonl_are_all_numbered(tmp_path):
    lines = ['{"id": "u1"}', '{"id": 01}', "", "[1, 2]", '{"id": "u1"', '{"id": "u9"}']
    message = message_of(written(tmp_path, "t.jsonl", "\n".join(lines)))
    assert "3 lines are no JSON objects" in message
    assert "line 2: Expecting ',' delimiter (column 9)" in message
    assert "line 4: expected an object" in message
    assert "line 5:" in message and "line 6" not in message


def test_half_characters_and_nested_values_are_named_by_row(tmp_path):
    texts = [r'"\ud83d"', r'"\ud83d\ude00"', '["a", "b"]', '{"en": "a"}', r'"\u0000"', "null"]
    lines = [f'{{"id": "u{i}", "text": {text}, "label": "a"}}' for i, text in enumerate(texts)]
    message = message_of(written(tmp_path, "t.jsonl", "\n".join(lines)), Columns(audio=None))
    assert "4 bad rows" in message
    assert "row 1 (id 'u0'): the text holds half a character (U+D83D" in message
    assert "row 3 (id 'u2'): the text is no text but a list" in message
    assert "row 4 (id 'u3'): the text is no text but a structure of en" in message
    assert "row 5 (id 'u4'): the text holds a zero byte" in message


@pytest.mark.parametrize("row", [r'{"te\ud83dxt": "x"}', r'{"text": {"\udc00": 1}}'])
def test_half_characters_in_names_are_refused_in_words_that_can_be_printed(tmp_path, row):
    message = message_of(
        written(tmp_path, "t.jsonl", f'{{"id": "u1"}}\n{row}'), Columns(audio=None)
    )
    assert "line 2: the name" in message and "holds half a character" in message
    message.encode("utf-8")


def test_half_a_character_of_utf_16_names_its_line(tmp_path):
    content = "\ufeffid,text,label\nu1,x,a\nu2,\ud83d,a\n".encode("utf-16-le", "surrogatepass")
    assert "(line 3)" in message_of(written(tmp_path, "t.csv", content), Columns(audio=None))


def parquet(path, **columns):
    pq.write_table(pa.table({"id": [f"u{i}" for i in range(3)], **columns}), path)
    return path


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([0, 1, 2]), ["0", "1", "2"]),
        (pa.array([0.0, 1.0, 0.1], pa.float32()), ["0.0", "1.0", "0.1"]),
        (pa.array([True, False, True]), ["True", "False", "True"]),
        (pa.array(["NA", "null", "None"]).dictionary_encode(), ["NA", "null", "None"]),
        (pa.array([b"a", b"\xc3\xa9", b"e\xcc\x81"]), ["a", "é", "é"]),
        (pa.array([19_000, 0, 1], pa.date32()), ["2022-01-08", "1970-01-01", "1970-01-02"]),
        (pa.array(["a", "b", "c"], pa.large_string()), ["a", "b", "c"]),
    ],
    ids=["int", "float", "bool", "categories", "bytes", "dates", "large"],
)
def test_labels_of_any_type_are_text(tmp_path, labels, expected):
    path = parquet(tmp_path / "t.parquet", text=["x"] * 3, label=labels)
    assert manifest_of(path, Columns(audio=None))["label"].tolist() == expected


def test_whole_numbers_beside_a_missing_one_stay_whole(tmp_path):
    texts = pa.array([1, None, 1 << 60], pa.int64())
    path = parquet(tmp_path / "t.parquet", text=texts, label=["a"] * 3)
    assert manifest_of(path, Columns(audio=None))["text"].tolist() == ["1", "", str(1 << 60)]


def test_bytes_that_are_no_text_are_all_named(tmp_path):
    texts = [b"\xff\xfe", b"good", b"M\xfcller"]
    path = parquet(tmp_path / "t.parquet", text=texts, label=[["a"], ["b"], ["c"]])
    message = message_of(path, Columns(audio=None))
    assert "5 bad rows" in message
    assert "row 1 (id 'u0'): the text is bytes that are no UTF-8 (0xff)" in message
    assert "row 3 (id 'u2'): the text is bytes that are no UTF-8 (0xfc)" in message
    assert "row 2 (id 'u1'): the label is no text but a list" in message


def test_what_is_no_parquet_is_said(tmp_path):
    assert "cannot be read as Parquet" in message_of(written(tmp_path, "t.parquet", "id,text\n"))


def test_planning_reads_no_column_that_it_does_not_need(tmp_path):
    # A column that cannot be decoded: whoever reads it fails.
    path = parquet(tmp_path / "t.parquet", text=["x"] * 3, label=["a"] * 3, speaker=["b", "a", "b"])
    with pq.ParquetFile(path) as file:
        column = file.metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)
    with pytest.raises(InputError):
        manifest_of(path)
    table = Table(path=str(path), columns=COLUMNS)
    assert count_rows(table) == 3
    assert group_names(table) == ["a", "b"]
