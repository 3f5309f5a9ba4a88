"""Tables that are wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from bad_input import bad, configure, with_table

HEADER = "id,audio,text,label,split,speaker\n"
ROW = "u{0:02d},u{0:02d}.wav,some words,calm,train,s1\n"
MEND = "Correct these rows in the table"
WORKFLOW = ["snakemake", "mine.yaml"]


def spoilt(what: str, names: str, remedy: str, **config: object):
    """A case of what a function makes of a table as it is, before it is written."""

    def add(spoil):
        def make(folder: Path) -> list[str]:
            table = with_table(folder, **config)
            spoil(table).to_csv(folder / "table.csv", index=False)
            return WORKFLOW

        bad("table", what, names, remedy)(make)

    return add


def written(what: str, names: str, remedy: str, content: bytes | str, name: str = "table.csv"):
    """A case of a file's bytes."""

    def make(folder: Path) -> list[str]:
        configure(folder, name)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return WORKFLOW

    bad("table", what, names, remedy)(make)


@bad("table", "a table that is not there", "gone.csv: no such file", "Correct the paths")
def _(folder):
    configure(folder, "gone.csv")
    return WORKFLOW


@bad("table", "a folder for a table", "table.csv: is no file or may not", "Correct the paths")
def _(folder):
    configure(folder)
    (folder / "table.csv").mkdir()
    return WORKFLOW


@spoilt(
    "a column that is not there",
    "dataset.table.columns.label: no column 'label'",
    "did you mean 'labels'?",
)
def _(table):
    return table.rename(columns={"label": "labels"})


@spoilt("an id twice", "id 'u02' occurs in rows 4, 7; ids must be unique", MEND)
def _(table):
    return table.replace({"id": {"u05": "u02"}})


@spoilt("an empty id, label and clip", "row 5 (id 'u03'): the label is empty", MEND)
def _(table):
    table.loc[2, "id"] = table.loc[3, "label"] = table.loc[4, "audio"] = ""
    return table


@spoilt("a split of another name", "u06: 'later'", "Use train, validation, test")
def _(table):
    return table.replace({"split": {"validation": "later"}})


@spoilt(
    "no test rows",
    "fold given: there are no test rows",
    "Correct the labels, or choose other dataset.folds",
)
def _(table):
    return table[table["split"] != "test"]


@spoilt(
    "a label in the test part alone",
    "label 'tens' has no training row, but 1 in test (u11)",
    "Correct the labels",
)
def _(table):
    table.loc[11, "label"] = "tens"
    return table


@spoilt("a class without training rows", "label 'tense' has no training row", "Correct the labels")
def _(table):
    table.loc[table["split"] == "train", "label"] = "calm"
    return table


@spoilt(
    "one class",
    "fold given: all training rows have the label 'calm'",
    "rows of two classes or more",
)
def _(table):
    return table.assign(label="calm")


@spoilt(
    "more folds than speakers",
    "dataset.folds.n_folds: 9 folds need as many groups, but there are 4",
    "lower it",
    columns={"group": "speaker"},
    dataset={"folds": {"method": "grouped", "n_folds": 9}},
)
def _(table):
    return table


@spoilt(
    "folds by an empty speaker",
    "row 6 (id 'u04'): the group is empty",
    MEND,
    columns={"group": "speaker"},
    dataset={"folds": {"method": "grouped"}},
)
def _(table):
    table.loc[4, "speaker"] = None
    return table


@spoilt(
    "seconds that are no number",
    "'soon' is no number of seconds",
    "such as 12.5",
    columns={"start": "start"},
)
def _(table):
    return table.assign(start="soon")


@spoilt(
    "a segment that ends before it starts",
    "its segment",
    MEND,
    columns={"start": "start", "end": "end"},
)
def _(table):
    return table.assign(start="0.1", end="0.05")


written("an empty file", "table.csv: the table is empty", "expected a row of column names", "")
written(
    "a header without rows",
    "table.csv: the table has no rows",
    "expected one for each utterance",
    HEADER,
)
written(
    "semicolons for commas",
    "columns.id: no column 'id'",
    "The table has: id;audio",
    (HEADER + ROW.format(1)).replace(",", ";"),
)
written(
    "rows of more or fewer cells",
    "1 rows have more or fewer cells than the header's 6",
    "A cell that holds a comma needs quotes",
    HEADER + ROW.format(1) + "u2,b.wav\n",
)
written(
    "a quotation mark that opens no cell's end",
    "line 2: a quotation mark opens a cell",
    "are written twice",
    HEADER + 'u1,a.wav,"some,calm,train,s1\n',
)
written(
    "two columns of one name",
    "several called 'label'",
    "columns need names of their own",
    "id,label,label\nu1,a,b\n",
)
written(
    "zero bytes",
    "table.csv: holds zero bytes, which no text has (lines 2)",
    "save it as UTF-8",
    HEADER + ROW.format(1).replace("calm", "c\0lm"),
)
written(
    "a table in Latin-1",
    "line 2: byte 0xfc after 'u01,u01.wav,'",
    "Save it as UTF-8",
    (HEADER + ROW.format(1).replace("some", "\xfcber")).encode("latin-1"),
)
written(
    "UTF-16 without its mark",
    "table.csv: holds zero bytes",
    "save it as UTF-8",
    HEADER.encode("utf-16-le"),
)
written(
    "a cut UTF-16",
    "table.csv: begins as utf-16 text, but is not",
    "Save it",
    HEADER.encode("utf-16")[:-1],
)
written(
    "a spreadsheet",
    "table.xlsx: unknown kind of table",
    "expected one of .csv, .tsv",
    b"PK\3\4",
    "table.xlsx",
)
written(
    "JSONL that is no JSON",
    "line 2: ",
    "Write a row a line",
    '{"id": "u1"}\n{"id": \n',
    "table.jsonl",
)
written(
    "a JSON list",
    "line 1: expected an object in braces",
    "Write a row a line",
    "[1, 2]\n",
    "table.jsonl",
)
written(
    "a name twice in JSONL",
    "line 1: 'id' stands there twice",
    "Write a row a line",
    '{"id": 1, "id": 2}\n',
    "table.jsonl",
)
written(
    "text called .parquet",
    "table.parquet: cannot be read as Parquet",
    "Write it anew",
    HEADER,
    "table.parquet",
)


@bad(
    "table",
    "a Parquet file that is cut off",
    "table.parquet: cannot be read as Parquet",
    "Write it anew",
)
def _(folder):
    with_table(folder, path="table.parquet").to_parquet(folder / "table.parquet")
    whole = (folder / "table.parquet").read_bytes()
    (folder / "table.parquet").write_bytes(whole[: len(whole) // 2])
    return WORKFLOW


@bad(
    "table", "cells that are no text", "row 1 (id 'u1'): the text is no text but a structure", MEND
)
def _(folder):
    configure(folder, "table.parquet")
    cells = {"id": ["u1"], "text": [{"a": 1}], "audio": ["a.wav"], "label": "x", "split": "train"}
    pd.DataFrame(cells).to_parquet(folder / "table.parquet")
    return WORKFLOW
