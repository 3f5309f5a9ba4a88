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
from made_tables import COLUMNS, NAMES, manifest_of, message_of, written

from speechlasso.data.manifest import count_rows, group_names
from speechlasso.data.settings import Columns, Table
from speechlasso.data.table_reading import read_table
from speechlasso.data.text import normalised
from speechlasso.errors import InputError

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


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(rows_of(prose))
def test_any_csv_reads_back(folder, rows):
    assert_reads_back(folder, "t.csv", as_csv(rows), rows)
    assert_reads_back(folder, "quoted.csv", as_csv(rows, csv.QUOTE_ALL), rows)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(rows_of(flat))
def test_any_tsv_reads_back(folder, rows):
    assert_reads_back(folder, "t.tsv", as_tsv(rows), rows)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(rows_of(prose))
def test_any_jsonl_and_parquet_read_back(folder, rows):
    assert_reads_back(folder, "t.jsonl", as_jsonl(rows), rows)
    assert_reads_back(folder, "t.parquet", as_parquet(rows), rows)


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
