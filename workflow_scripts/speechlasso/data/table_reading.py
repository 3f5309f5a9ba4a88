"""Tables as their files hold them: CSV, TSV, Parquet and JSONL as cells, each row with its number.

Nothing is guessed: no cell becomes a number, no column an index, and no row is left out. What
cannot be read so is an error that names its lines.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso.data.text import normalised
from speechlasso.errors import InputError

Convert = Callable[[Any], Any]

_LINE_END = re.compile(r"\r\n|\r|\n")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16, whose mark theirs begins with.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_QUOTING_ERRORS = {
    "unexpected end of data": "a quotation mark opens a cell that is never closed",
    "',' expected after '\"'": "text follows the quotation mark that closes a cell",
    "'\t' expected after '\"'": "text follows the quotation mark that closes a cell",
}
_SHOWN = 5


@dataclass(frozen=True)
class TableCells:
    """Some columns of a table.

    Attributes
    ----------
    names
        Of all columns that the table has, normalised.
    cells
        dtype object: str from CSV, TSV and JSONL (whose numbers stay as they are written), and in
        Parquet and JSONL whatever else they hold; None or NaN where there is nothing. The index
        says where each row stands: its (first) line in the file, or its number in Parquet, from 1.
    notes
        What a reader of the table should know, each without its path.
    """

    names: list[str]
    cells: pd.DataFrame
    notes: list[str]


def read_table(
    path: str | Path, columns: Mapping[str, str], convert: Mapping[str, Convert] | None = None
) -> TableCells:
    """Read some columns of a table.

    Parameters
    ----------
    path
        CSV, TSV, Parquet or JSONL file.
    columns
        Which to read, under the names that they get; those that the table lacks are left out.
    convert
        By the new names, what each cell is replaced by as soon as it is read.

    Raises
    ------
    InputError
        If the file cannot be read whole.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of table; expected one of {', '.join(_READERS)}")
    columns = {name: normalised(column) for name, column in columns.items()}
    try:
        table = reader(path, columns, convert or {})
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if table.cells.index.empty:
        raise InputError(f"{path}: the table has no rows; expected one for each utterance")
    return table


def lines_in_words(lines: Sequence[int]) -> str:
    """The first few of them."""
    shown = ", ".join(map(str, lines[:_SHOWN]))
    return shown if len(lines) <= _SHOWN else f"{shown} and {len(lines) - _SHOWN} more"


def _read_csv(path: Path, columns: Mapping[str, str], convert: Mapping[str, Convert]) -> TableCells:
    rows = _records(path, _decoded(path), delimiter=",")
    return _table(path, rows, columns, convert, "A cell that holds a comma needs quotes.")


def _read_tsv(path: Path, columns: Mapping[str, str], convert: Mapping[str, Convert]) -> TableCells:
    text = _decoded(path)
    rows = _records(path, text, delimiter="\t", quoting=csv.QUOTE_NONE)
    if rows.cells and any(map(_is_quoted, rows.cells[0])):
        rows = _records(path, text, delimiter="\t")
        rows.notes.insert(0, "its header is in quotation marks, so all cells are taken as quoted")
    else:
        quoted = [
            line
            for line, row in zip(rows.lines, rows.cells, strict=True)
            if any(map(_is_quoted, row))
        ]
        if quoted:
            rows.notes.append(
                "quotation marks around cells are kept as part of them, since the header has none "
                f"(lines {lines_in_words(quoted)})"
            )
    return _table(path, rows, columns, convert, "Cells cannot hold tabs or line breaks.")


def _is_quoted(cell: str) -> bool:
    return len(cell) >= 2 and cell[0] == cell[-1] == '"'


@dataclass(frozen=True)
class _Rows:
    """Rows of delimited cells, the header included; blank lines are none."""

    lines: list[int]
    """In which each row begins."""
    cells: list[list[str]]
    notes: list[str]


def _records(path: Path, text: str, **dialect: Any) -> _Rows:
    lines: list[int] = []
    rows: list[list[str]] = []
    broken: list[int] = []
    n_blank, first = 0, 1
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
    with _cells_of_any_length(), _quoting_errors(path, reader, lambda: first):
        for row in reader:
            if len(row) > 1 or any(cell.strip() for cell in row):
                lines.append(first)
                rows.append(row)
                if reader.line_num > first:
                    broken.append(len(rows) - 1)
            else:
                n_blank += reader.line_num - first + 1
            first = reader.line_num + 1
    n_breaks = sum(len(_LINE_END.findall(cell)) for index in broken for cell in rows[index])
    _check_count(path, text, len(rows) + n_blank + n_breaks)
    at = lines_in_words([lines[index] for index in broken])
    return _Rows(lines, rows, [f"cells hold line breaks (rows in lines {at})"] if broken else [])


@contextmanager
def _quoting_errors(path: Path, reader: Any, first: Callable[[], int]) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        words = _QUOTING_ERRORS.get(str(error), str(error))
        seen = f" (seen in line {reader.line_num})" if reader.line_num > first() else ""
        raise InputError(
            f"{path}: line {first()}: {words}{seen}. Quotation marks inside a quoted cell are "
            'written twice: "He said ""no"".".'
        ) from None


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    usual = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _check_count(path: Path, text: str, n_accounted: int) -> None:
    """Rows, blank lines and line breaks within cells are all the lines there are."""
    n_lines = len(_LINE_END.findall(text)) + (text[-1:] not in ("", "\n", "\r"))
    if n_accounted != n_lines:
        raise InputError(f"{path}: of its {n_lines} lines {n_accounted} were read; write it anew")


def _table(
    path: Path,
    rows: _Rows,
    columns: Mapping[str, str],
    convert: Mapping[str, Convert],
    advice: str,
) -> TableCells:
    """Rows below a header as a table."""
    if not rows.cells:
        raise InputError(f"{path}: the table is empty; expected a row of column names, then rows")
    names = _unique_names(path, rows.cells[0])
    body = _Rows(rows.lines[1:], rows.cells[1:], rows.notes)
    _check_widths(path, body, len(names), advice)
    position = {name: place for place, name in enumerate(names)}
    cells = {
        name: _converted([row[position[column]] for row in body.cells], convert.get(name))
        for name, column in columns.items()
        if column in position
    }
    return TableCells(names, _frame(cells, body.lines), body.notes)


def _check_widths(path: Path, rows: _Rows, width: int, advice: str) -> None:
    """Every row has a cell for each column; cells beyond them may stand there if they are empty."""
    wrong, longer = [], []
    for line, row in zip(rows.lines, rows.cells, strict=True):
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            wrong.append(f"line {line}: {len(row)} cells: {' | '.join(row)[:60]}")
        elif len(row) > width:
            longer.append(line)
    if wrong:
        headline = f"{path}: {len(wrong)} rows have more or fewer cells than the header's {width}:"
        raise InputError.listing(headline, wrong, advice)
    if longer:
        at = lines_in_words(longer)
        rows.notes.append(f"rows end in empty cells that have no column, left out (lines {at})")


def _read_jsonl(
    path: Path, columns: Mapping[str, str], convert: Mapping[str, Convert]
) -> TableCells:
    lines, objects, problems = [], [], []
    for line, text in enumerate(_LINE_END.split(_decoded(path)), 1):
        if not text.strip():
            continue
        try:
            objects.append(_json_object(text))
            lines.append(line)
        except json.JSONDecodeError as error:
            problems.append(f"line {line}: {error.msg} (column {error.colno})")
        except (ValueError, RecursionError) as error:
            problems.append(f"line {line}: {error}")
    if problems:
        headline = f"{path}: {len(problems)} lines are no JSON objects:"
        raise InputError.listing(headline, problems, 'Write a row a line: {"id": "u1", ...}.')
    names = list(dict.fromkeys(name for row in objects for name in row))
    cells = {
        name: _converted([row.get(column) for row in objects], convert.get(name))
        for name, column in columns.items()
        if column in names
    }
    return TableCells(names, _frame(cells, lines), [])


def _json_object(text: str) -> dict[str, Any]:
    """Numbers as they are written: an id 1e5 is not 100000.0."""
    value = json.loads(
        text,
        parse_int=str,
        parse_float=str,
        parse_constant=lambda name: None if name == "NaN" else name,
        object_pairs_hook=_json_members,
    )
    if not isinstance(value, dict):
        raise ValueError("expected an object in braces")
    return value


def _json_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = {normalised(name): value for name, value in pairs}
    if len(members) < len(pairs):
        names = [normalised(name) for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    broken = next((name for name in members if _SURROGATE.search(name)), None)
    if broken is not None:
        raise ValueError(f"the name {broken!r} holds half a character")
    return members


def _read_parquet(
    path: Path, columns: Mapping[str, str], convert: Mapping[str, Convert]
) -> TableCells:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            # The file's own columns: what pandas notes there about an index is not heeded.
            originals = file.schema_arrow.names
            names = _unique_names(path, originals)
            original = dict(zip(names, originals, strict=True))
            chosen = {n: original[column] for n, column in columns.items() if column in original}
            cells: dict[str, list] = {name: [] for name in chosen}
            # A batch at a time: cells may hold whole recordings.
            for batch in file.iter_batches(1024, columns=list(dict.fromkeys(chosen.values()))):
                for name, column in chosen.items():
                    values = _python_values(batch.column(column))
                    cells[name] += _converted(values, convert.get(name))
            numbers = range(1, file.metadata.num_rows + 1)
            return TableCells(names, _frame(cells, numbers), [])
    except pa.ArrowException as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error} Write it anew.") from error


def _python_values(column: Any) -> list[Any]:
    import pyarrow as pa

    values = column.to_pylist()
    if pa.types.is_float16(column.type) or pa.types.is_float32(column.type):
        # The shortest number that it stands for, 0.1 and not 0.10000000149.
        digits = column.to_numpy(zero_copy_only=False)
        return [
            None if value is None else float(str(digit))
            for value, digit in zip(values, digits, strict=True)
        ]
    return values


def _converted(cells: list[Any], convert: Convert | None) -> list[Any]:
    return cells if convert is None else list(map(convert, cells))


def _frame(columns: dict[str, list[Any]], lines: Sequence[int]) -> pd.DataFrame:
    index = pd.Index(lines, dtype="int64")
    series = {name: pd.Series(cells, index, dtype=object) for name, cells in columns.items()}
    return pd.DataFrame(series, index=index)


def _unique_names(path: Path, header: Sequence[str]) -> list[str]:
    names = [normalised(name) for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path}: columns need names of their own, but it has several called "
            f"{', '.join(map(repr, twice))}"
        )
    return names


def _decoded(path: Path) -> str:
    """The text of a file in UTF-8, or in the encoding that its byte order mark tells of."""
    content = path.read_bytes()
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8")
    if encoding.startswith("utf-8") and b"\0" in content:
        lines = [n for n, line in enumerate(_LINE_END_BYTES.split(content), 1) if b"\0" in line]
        raise InputError(
            f"{path}: holds zero bytes, which no text has (lines {lines_in_words(lines)}); it may "
            "be damaged, or encoded as UTF-16: save it as UTF-8"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding.startswith("utf-8"):
            raise _wrong_encoding(path, content) from None
        line = len(_LINE_END.findall(content[: error.start].decode(encoding, "ignore"))) + 1
        raise InputError(
            f"{path}: begins as {encoding} text, but is not (line {line}): {error.reason}. Save "
            "it as UTF-8."
        ) from None


def _wrong_encoding(path: Path, content: bytes) -> InputError:
    problems = []
    for number, line in enumerate(_LINE_END_BYTES.split(content), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            before = line[: error.start].decode("utf-8")[-20:]
            problems.append(f"line {number}: byte 0x{line[error.start]:02x} after {before!r}")
    return InputError.listing(
        f"{path}: is not encoded as UTF-8:",
        problems,
        "Save it as UTF-8. (From western Windows it is often in cp1252: iconv -f cp1252 -t utf-8.)",
    )


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
}
