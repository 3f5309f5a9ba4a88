"""Tables of every format, as they come: what they hold is read whole, or the lines are named."""

from __future__ import annotations

import csv
import io
import json
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlasso.data.manifest import count_rows, group_names, read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.data.table_reading import read_table
from speechlasso.data.text import normalised
from speechlasso.errors import InputError

NAMES = ("id", "text", "label", "speaker")
COLUMNS = Columns(audio=None, group="speaker")


def manifest_of(path, columns=COLUMNS, **options):
    return read_manifest(Table(path=str(path), columns=columns), **options)


def message_of(path, columns=COLUMNS):
    with pytest.raises(InputError) as caught:
        manifest_of(path, columns)
    return str(caught.value)


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ------------------------------------------------------------------------------ any table at all

# What a text file in UTF-8 can hold; TSV has no tabs and line breaks.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
prose = st.text(characters, max_size=12) | st.sampled_from(
    ['"', '"He', '""', "NA", "null", "None", "01", "1e5", "1.0", "a,b", "e\u0301", " x ", "#", "'"]
)
flat = prose.filter(lambda text: not set(text) & set("\t\r\n"))
filled = flat.filter(normalised)


def rows_of(texts):
    cells = st.tuples(filled, texts, filled, filled)
    return st.lists(cells, min_size=1, max_size=6, unique_by=lambda row: normalised(row[0]))


def as_csv(rows, quoting=csv.QUOTE_MINIMAL):
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=quoting).writerows([NAMES, *rows])
    return stream.getvalue().encode()


def as_tsv(rows):
    return "".join("\t".join(row) + "\r\n" for row in [NAMES, *rows]).encode()


def as_jsonl(rows):
    return "\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows).encode()


def as_parquet(rows):
    stream = io.BytesIO()
    frame = pd.DataFrame(rows, columns=list(NAMES))
    # The index repeats itself: whoever takes it for row numbers makes rows of it.
    frame.set_axis(np.arange(len(rows)) // 2).to_parquet(stream)
    return stream.getvalue()


def assert_reads_back(folder, name, content, rows):
    path = written(folder, name, content)
    manifest = manifest_of(path)
    found = list(manifest[["id", "text", "label", "group"]].itertuples(index=False, name=None))
    assert found == [tuple(map(normalised, row)) for row in rows]
    assert count_rows(Table(path=str(path), columns=COLUMNS)) == len(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@settings(max_examples=40, deadline=None)
@given(rows_of(prose))
def test_any_csv_reads_back(folder, rows):
    assert_reads_back(folder, "t.csv", as_csv(rows), rows)
    assert_reads_back(folder, "quoted.csv", as_csv(rows, csv.QUOTE_ALL), rows)


@settings(max_examples=40, deadline=None)
@given(rows_of(flat))
def test_any_tsv_reads_back(folder, rows):
    assert_reads_back(folder, "t.tsv", as_tsv(rows), rows)


@settings(max_examples=40, deadline=None)
@given(rows_of(prose))
def test_any_jsonl_and_parquet_read_back(folder, rows):
    assert_reads_back(folder, "t.jsonl", as_jsonl(rows), rows)
    assert_reads_back(folder, "t.parquet", as_parquet(rows), rows)


# ------------------------------------------------------------------------------------- quotation


def test_tsv_texts_that_begin_with_a_quotation_mark_lose_no_row(tmp_path):
    quotes = {0: '"', 3: '"', 8: '"no" he ', 9: '"'}
    rows = [(f"u{i}", f"{quotes.get(i, '')}word {i}", "ab"[i % 2], "anna") for i in range(24)]
    manifest = manifest_of(written(tmp_path, "t.tsv", as_tsv(rows)))
    assert manifest["text"].tolist() == [row[1] for row in rows]


def test_a_quotation_mark_alone_is_a_text_and_encloses_none(tmp_path, caplog):
    manifest = manifest_of(written(tmp_path, "t.tsv", as_tsv([("u", '"', "a", "anna")])))
    assert manifest["text"].tolist() == ['"'] and not caplog.text


def test_a_quoted_header_makes_a_tsv_quoted_and_is_said(tmp_path, caplog):
    frame = pd.DataFrame([("u1", 'He said "no"\tand left', "a", "x")], columns=list(NAMES))
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False, quoting=csv.QUOTE_ALL)
    assert manifest_of(tmp_path / "t.tsv")["text"].tolist() == ['He said "no"\tand left']
    assert "its header is in quotation marks, so all cells are taken as quoted" in caplog.text


def test_quotation_marks_that_are_kept_in_tsv_are_said(tmp_path, caplog):
    frame = pd.DataFrame([("u1", 'He said "no"', "a", "x")], columns=list(NAMES))
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    assert manifest_of(tmp_path / "t.tsv")["text"].tolist() == ['"He said ""no"""']
    assert "quotation marks around cells are kept" in caplog.text and "(lines 2)" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('id,text\nu1,x\nu2,"He said,y\nu3,z\n', "line 3: a quotation mark opens a cell"),
        ('id,text\nu1,x\nu2,"He said,y\nu3,"z"\n', "line 3: text follows the quotation mark"),
        ('id,text\nu1,"a "b" c"\nu2,x\n', "the quotation mark that closes a cell. Quotation"),
        ('id,text\nu1,"He\nsaid "no"\n', "closes a cell (seen in line 3). Quotation"),
    ],
)
def test_unbalanced_quotation_marks_in_csv_name_their_line(tmp_path, content, words):
    assert words in message_of(written(tmp_path, "t.csv", content), Columns(label="text"))


def test_line_breaks_within_cells_are_said_and_rows_keep_their_lines(tmp_path, caplog):
    content = 'id,text,label\nu1,"two\r\nlines",a\n\nu2,x,\n'
    path = written(tmp_path, "t.csv", content)
    assert "row 5 (id 'u2'): the label is empty" in message_of(path, Columns(audio=None))
    assert "cells hold line breaks (rows in lines 2)" in caplog.text


# ------------------------------------------------------------------------------ rows and indices


@pytest.mark.parametrize(
    "index",
    [
        [0, 0, 0, 1],
        list("wxyz"),
        pd.MultiIndex.from_product([["a", "b"], [0, 0]], names=["speaker_", None]),
        pd.Index([7, 7, 7, 7], name="number"),
        pd.date_range("2024", periods=4),
    ],
    ids=["repeated", "strings", "levels", "named", "dates"],
)
def test_the_index_of_a_parquet_is_not_read(tmp_path, index):
    rows = [(f"u{i}", f"word {i}", "ab"[i % 2], "anna") for i in range(4)]
    frame = pd.DataFrame(rows, columns=list(NAMES)).set_axis(index)
    frame.to_parquet(tmp_path / "t.parquet")
    manifest = manifest_of(tmp_path / "t.parquet")
    assert manifest.index.tolist() == [0, 1, 2, 3]
    assert manifest["text"].tolist() == frame["text"].tolist()
    frame.drop(columns="id").to_parquet(tmp_path / "t.parquet")
    manifest = manifest_of(tmp_path / "t.parquet", COLUMNS.model_copy(update={"id": None}))
    assert manifest["id"].tolist() == ["1", "2", "3", "4"]


def test_an_index_may_be_named_as_a_column(tmp_path):
    frame = pd.DataFrame({"text": ["x"], "label": ["a"]}, index=pd.Index(["u1"], name="id"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert manifest_of(tmp_path / "t.parquet", Columns(audio=None))["id"].tolist() == ["u1"]


def test_rows_that_end_in_one_comma_too_many_are_read_and_said(tmp_path, caplog):
    lines = ["id,text,label,speaker", *(f"u{i},word {i},a,anna," for i in range(8))]
    manifest = manifest_of(written(tmp_path, "t.csv", "\n".join(lines)))
    assert manifest["id"].tolist() == [f"u{i}" for i in range(8)]
    assert manifest["group"].unique().tolist() == ["anna"]
    assert "rows end in empty cells that have no column" in caplog.text
    assert "(lines 2, 3, 4, 5, 6 and 3 more)" in caplog.text


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_rows_with_more_or_fewer_cells_are_all_named(tmp_path, kind):
    lines = ["id,text,label", "u1,well, yes,a", "u2,x,a", 'u3,"no",a,b,c', "u4,x"]
    content = "\n".join(lines) + "\n"
    content = content if kind == "csv" else content.replace(",", "\t")
    message = message_of(written(tmp_path, f"t.{kind}", content), Columns(audio=None))
    assert "3 rows have more or fewer cells than the header's 3" in message
    assert "line 2: 4 cells: u1 | well | yes | a" in message.replace("|  yes", "| yes")
    assert "line 4: 5 cells" in message and "line 5: 2 cells" in message
    assert "line 3" not in message


def test_a_header_alone_has_no_rows_and_an_empty_file_no_header(tmp_path):
    header = written(tmp_path, "t.csv", "id,text,label\n\n")
    assert "the table has no rows" in message_of(header, Columns(audio=None))
    assert "expected a row of column names" in message_of(written(tmp_path, "empty.csv", ""))
    assert "the table has no rows" in message_of(written(tmp_path, "t.jsonl", "\n"))
    with pytest.raises(InputError, match="no rows"):
        count_rows(Table(path=str(header), columns=Columns(audio=None)))


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_two_columns_of_one_name_are_refused(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        columns = [pa.array(["x"])] * 3
        pq.write_table(pa.Table.from_arrays(columns, names=["id", "label ", "label"]), path)
    elif kind == "jsonl":
        path.write_text('{"id": "u", "label": "x", "label": "y"}\n')
    else:
        path.write_text("id,label,label \nu,x,y\n".replace(",", "," if kind == "csv" else "\t"))
    assert "'label'" in message_of(path) and "missing" not in message_of(path)


# ------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_line_ends_of_all_systems(tmp_path, encoding, end):
    content = end.join(["id,text,label", "u1,Müller 日本,a", "u2,x,b"])
    manifest = manifest_of(
        written(tmp_path, "t.csv", content.encode(encoding)), Columns(audio=None)
    )
    assert manifest["text"].tolist() == ["Müller 日本", "x"]
    assert manifest["label"].tolist() == ["a", "b"]


def test_other_encodings_are_named_with_all_their_lines(tmp_path):
    content = "id,text,label\nu1,Müller,a\nu2,x,b\nu3,Öl,b\n"
    message = message_of(written(tmp_path, "t.csv", content.encode("latin-1")))
    assert "is not encoded as UTF-8" in message and "line 3" not in message
    assert "line 2: byte 0xfc after 'u1,M'" in message and "line 4: byte 0xd6" in message
    message = message_of(written(tmp_path, "t.csv", content.encode("utf-16-le")))
    assert "zero bytes" in message and "UTF-16" in message


def test_zero_bytes_name_their_lines(tmp_path):
    message = message_of(written(tmp_path, "t.tsv", "id\ttext\tlabel\nu1\tx\0\ta\n"))
    assert "zero bytes" in message and "(lines 2)" in message


# ----------------------------------------------------------------------------------------- JSONL


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


# --------------------------------------------------------------------------------------- Parquet


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


# ----------------------------------------------------------------------------------------- names


def test_ids_made_equal_by_their_one_form_are_an_error(tmp_path):
    content = "id,text,label\né,x,a\ne\u0301,x,a\nu ,x,a\nu,x,a\n"
    message = message_of(written(tmp_path, "t.csv", content), Columns(audio=None))
    assert "id 'é' occurs in rows 2, 3 (once blanks around it are removed" in message
    assert "id 'u' occurs in rows 4, 5" in message


def test_labels_and_groups_made_equal_are_merged_and_said(tmp_path, caplog):
    content = "id,text,label,speaker\n1,x,joie ,José\n2,x,joie,Jose\u0301\n3,x,NA,01\n4,x,null,1\n"
    manifest = manifest_of(written(tmp_path, "t.csv", content))
    assert manifest["label"].tolist() == ["joie", "joie", "NA", "null"]
    assert manifest["group"].tolist() == ["José", "José", "01", "1"]
    assert "blanks around the label removed or its accents composed in 1 rows" in caplog.text
    assert "'joie ', 'joie' are one label now: 'joie'" in caplog.text
    assert "'José', 'Jose\u0301' are one group now: 'José'" in caplog.text


def test_a_table_in_its_one_form_says_nothing(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    manifest_of(written(tmp_path, "t.csv", "id,text,label,speaker\n1,x,a,b\n2,x,a,c\n"))
    assert not caplog.text


def test_empty_groups_are_all_named(tmp_path):
    path = written(tmp_path, "t.csv", "id,text,label,speaker\n1,x,a,\n2,x,a,NA\n3,x,a,  \n")
    message = message_of(path)
    assert "row 2 (id '1'): the group is empty" in message
    assert "row 4 (id '3'): the group is empty" in message and "row 3" not in message
    with pytest.raises(InputError, match="row 4: the group is empty"):
        group_names(Table(path=str(path), columns=COLUMNS))


def test_names_of_columns_have_one_form_too(tmp_path):
    path = written(tmp_path, "t.csv", "id, te\u0301xt ,label\n1,x,a\n")
    assert manifest_of(path, Columns(audio=None, text="téxt"))["text"].tolist() == ["x"]


def test_a_column_can_serve_twice(tmp_path):
    table = read_table(written(tmp_path, "t.csv", "id\nu1\n"), {"id": "id", "group": "id"})
    assert table.cells.to_dict("list") == {"id": ["u1"], "group": ["u1"]}
