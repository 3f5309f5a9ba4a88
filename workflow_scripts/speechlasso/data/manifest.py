"""The manifest: a checked table of utterances, whatever file the user brought.

Columns: id (unique), text, label, audio (list of the clips' paths), and where the table has them
split, group, language, and start and end (seconds in the clip, NaN where the segment is open); then
those of `columns.more`, as text.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from speechlasso.audio.clip_files import ClipError
from speechlasso.audio.segments import is_open, segment_problem
from speechlasso.data.settings import Table
from speechlasso.data.table_cells import ClipCells, Refused, cell_text
from speechlasso.data.table_reading import Convert, lines_in_words, read_table
from speechlasso.data.text import normalised
from speechlasso.errors import InputError

logger = logging.getLogger(__name__)

SEGMENT_COLUMNS = ("start", "end")
COLUMNS = ("id", "text", "label", "audio", "split", "group", "language", *SEGMENT_COLUMNS)
"""That a manifest can have by their names here; all others are `columns.more` of the table."""
NEVER_EMPTY = ("label", "group", "language")
_MADE_EQUAL = "once blanks around it are removed and accents composed"


@dataclass(frozen=True)
class NamedBy:
    """How the user names a table and its columns, for messages."""

    path: str = "dataset.table.path"
    column: str = "dataset.table.columns."


CONFIGURATION = NamedBy()


def read_manifest(
    table: Table,
    without: Collection[str] = (),
    named_by: NamedBy = CONFIGURATION,
    clips: str | Path | None = None,
) -> pd.DataFrame:
    """Read and check a table of utterances; clips are not opened.

    Parameters
    ----------
    without
        Columns (by their names in the manifest) that are not asked of the table, and left out.
    clips
        Folder for clips that the table itself holds; None refuses them.

    Returns
    -------
    pandas.DataFrame
        id, text, label (str, as `text.normalised` gives them), audio (list of paths, str), and
        split, group, language and further columns where configured, in the table's order. start and
        end (float64, seconds, NaN where open), both where one of them is configured.

    Raises
    ------
    InputError
        Listing every bad row: missing or repeated ids, empty labels, groups or languages, cells
        that are no text, rows without a clip, segments that no clip can have.
    """
    columns = _configured(table, without)
    root = Path(table.audio_root) if table.audio_root else Path(table.path).parent
    as_clips = ClipCells(root, table.audio_separator, Path(clips) if clips else None)
    raw = _read_columns(table, columns, named_by, {"audio": as_clips})
    cells = _as_text(raw)
    if "id" not in columns and "id" not in without:
        cells.insert(0, "id", cells.index.astype(str))
    texts = cells.map(_one_form)
    problems = [*_row_problems(texts), *_repeated_ids(texts, cells), *_segment_problems(texts)]
    if problems:
        raise _bad_rows(table, problems)
    _say_what_changed(cells, texts, table.path)
    return _as_manifest(texts)


def count_rows(table: Table, without: Collection[str] = ()) -> int:
    return len(_read_columns(table, _configured(table, without), read=()))


def group_names(table: Table) -> list[str]:
    """The distinct values of the group column, sorted."""
    raw = _read_columns(table, _configured(table), read=("group",))
    groups = _as_text(raw).map(_one_form)
    unusable = groups["group"].map(lambda cell: isinstance(cell, Refused) or not cell)
    if problems := list(_row_problems(groups[unusable])):
        raise _bad_rows(table, problems)
    return sorted(set(groups["group"]))


def drop_bad_clips(
    manifest: pd.DataFrame, problems: pd.DataFrame, on_bad: str, max_bad_share: float
) -> pd.DataFrame:
    """The manifest without utterances whose clips cannot be used.

    Parameters
    ----------
    problems
        As `find_clip_problems` returns them.
    on_bad
        "error": any problem is an error; "skip": drop the utterances.
    max_bad_share
        With "skip": largest share of utterances that may be dropped.

    Raises
    ------
    InputError
        Listing every problem.
    """
    if problems.empty:
        return manifest
    bad = manifest["id"].isin(problems["id"])
    lines = list(problem_lines(problems))
    if on_bad == "error":
        raise InputError.listing(
            f"{len(lines)} clips cannot be used:",
            lines,
            "Mend or remove them, or set audio.on_bad: skip to leave their utterances out.",
        )
    if bad.mean() > max_bad_share:
        raise InputError.listing(
            f"{bad.sum()} of {len(manifest)} utterances have clips that cannot be used, more than "
            f"audio.max_bad_share: {max_bad_share} allows:",
            lines,
            "Mend or remove them, or raise audio.max_bad_share.",
        )
    logger.warning("left out %d utterances with bad clips (see problems.csv)", bad.sum())
    return manifest[~bad].reset_index(drop=True)


def find_clip_problems(
    manifest: pd.DataFrame, threads: int = 1, check: Callable[[str], float] | None = None
) -> pd.DataFrame:
    """Decode every clip and say what is wrong with those that cannot be used.

    A clip that several rows name is decoded once.

    Parameters
    ----------
    check
        Gives a clip's length in seconds or raises `ClipError`; `check_clip` if None.

    Returns
    -------
    pandas.DataFrame
        id, clip, problem; one row per bad clip or segment, in the manifest's order.
    """
    if "audio" not in manifest:
        return pd.DataFrame(columns=["id", "clip", "problem"])
    rows = manifest.reindex(columns=["id", "audio", *SEGMENT_COLUMNS])
    clips = list(dict.fromkeys(clip for row in rows["audio"] for clip in row))
    with ThreadPoolExecutor(threads) as pool:
        checked = pool.map(partial(_length_or_problem, check or _decoded()), clips)
        found = list(tqdm(checked, total=len(clips), desc="checking clips", unit="clip", delay=1))
    lengths = dict(zip(clips, found, strict=True))
    problems = [
        (row.id, clip, problem)
        for row in rows.itertuples()
        for clip in dict.fromkeys(row.audio)
        if (problem := _problem_in_row(lengths[clip], row.start, row.end))
    ]
    return pd.DataFrame(problems, columns=["id", "clip", "problem"])


def _bad_rows(table: Table, problems: list[str]) -> InputError:
    advice = "Correct these rows in the table."
    return InputError.listing(f"{table.path}: {len(problems)} bad rows:", problems, advice)


def _decoded() -> Callable[[str], float]:
    from speechlasso.audio.clip_check import (
        check_clip,  # decoders, which planning a run does not need
    )

    return check_clip


def _length_or_problem(check: Callable[[str], float], clip: str) -> float | str:
    """Seconds, or what is wrong with the clip."""
    try:
        return check(clip)
    except ClipError as error:
        return error.reason


def _problem_in_row(length: float | str, start: float, end: float) -> str | None:
    if isinstance(length, str):
        return length
    if is_open(start) and is_open(end):
        return None
    problem = segment_problem(start, end, length)
    return problem and f"its segment {problem}"


def problem_lines(problems: pd.DataFrame) -> Iterator[str]:
    """One line for each problem, however many utterances it spoils."""
    for (clip, problem), rows in problems.groupby(["clip", "problem"], sort=False):
        others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        yield f"{rows['id'].iloc[0]}{others}: {clip}: {problem}"


def _configured(table: Table, without: Collection[str] = ()) -> dict[str, str]:
    """The table's column for each column of the manifest."""
    columns = table.columns.model_dump()
    more = {normalised(column): column for column in columns.pop("more")}
    named = {name: column for name, column in columns.items() if column and name not in without}
    return named | more


def _read_columns(
    table: Table,
    columns: dict[str, str],
    named_by: NamedBy = CONFIGURATION,
    convert: Mapping[str, Convert] | None = None,
    read: Collection[str] | None = None,
) -> pd.DataFrame:
    """Cells under the manifest's names, by line; `read` names the only ones to read."""
    path = Path(table.path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; {named_by.path} must name your data table")
    wanted = {name: column for name, column in columns.items() if read is None or name in read}
    found = read_table(path, wanted, convert)
    _require_columns(found.names, path, columns, named_by)
    if read is None:  # planning, which reads a few columns again and again, stays silent
        for note in found.notes:
            logger.warning("%s: %s", path, note)
    return found.cells


def _require_columns(
    names: list[str], path: Path, columns: dict[str, str], named_by: NamedBy
) -> None:
    problems = []
    for name, column in columns.items():
        if normalised(column) not in names:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            key = name if name in COLUMNS else "more"
            problems.append(f"{named_by.column}{key}: no column {column!r}{hint}")
    if problems:
        raise InputError.listing(
            f"{path}: columns are missing:", problems, f"The table has: {', '.join(names)}."
        )


def _as_text(raw: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text, or why it is none; clips stay as they are."""
    return pd.DataFrame(
        {name: raw[name] if name == "audio" else raw[name].map(cell_text) for name in raw},
        index=raw.index,
    )


def _one_form(cell: Any) -> Any:
    return normalised(cell) if isinstance(cell, str) else cell


def _row_problems(cells: pd.DataFrame) -> Iterator[str]:
    for line, row in zip(cells.index, cells.to_dict("records"), strict=True):
        where = _where(line, row.get("id"))
        for name, cell in row.items():
            if isinstance(cell, Refused):
                yield f"{where}: the {name} {cell.reason}"
            elif name == "id" and not cell:
                yield f"row {line}: the id is empty"
            elif name in NEVER_EMPTY and not cell:
                yield f"{where}: the {name} is empty"
            elif name == "audio" and not cell:
                yield f"{where}: no clip is named"


def _where(line: int, row_id: Any) -> str:
    return f"row {line} (id {row_id!r})" if isinstance(row_id, str) and row_id else f"row {line}"


def _repeated_ids(texts: pd.DataFrame, cells: pd.DataFrame) -> Iterator[str]:
    if "id" not in texts:
        return
    ids = texts["id"][texts["id"].map(lambda cell: isinstance(cell, str) and cell != "")]
    repeated = ids[ids.duplicated(keep=False)]
    for row_id, group in repeated.groupby(repeated, sort=False):
        places = ", ".join(map(str, group.index))
        written = cells["id"][group.index].unique()
        same = f" ({_MADE_EQUAL}: {', '.join(map(repr, written))})" if len(written) > 1 else ""
        yield f"id {row_id!r} occurs in rows {places}{same}; ids must be unique"


def _say_what_changed(cells: pd.DataFrame, texts: pd.DataFrame, path: str) -> None:
    """Names that are no longer as the table has them."""
    for name in ("id", "label", "group", "split", "language"):
        if name not in texts:
            continue
        changed = texts.index[texts[name] != cells[name]].tolist()
        if changed:
            example, at = cells[name][changed[0]], lines_in_words(changed)
            logger.warning(
                "%s: blanks around the %s removed or its accents composed in %d rows, such as %r "
                "(rows %s)",
                *(path, name, len(changed), example, at),
            )
        ways = pd.DataFrame({"text": texts[name], "cell": cells[name]}).drop_duplicates()
        for text, written in ways[ways["text"].duplicated(keep=False)].groupby("text")["cell"]:
            ways_in_words = ", ".join(map(repr, written))
            logger.warning("%s: %s are one %s now: %r", path, ways_in_words, name, text)


def _as_manifest(texts: pd.DataFrame) -> pd.DataFrame:
    """Checked cells with their types, the clips in fourth place."""
    names = [name for name in texts if name not in ("audio", *SEGMENT_COLUMNS)]
    manifest = texts[names].astype("str")
    if "audio" in texts:
        manifest.insert(min(3, len(names)), "audio", texts["audio"])
    if any(name in texts for name in SEGMENT_COLUMNS):
        for name in SEGMENT_COLUMNS:
            seconds = texts[name].map(_seconds) if name in texts else math.nan
            manifest[name] = pd.Series(seconds, texts.index, dtype="float64")
    return manifest.reset_index(drop=True)


def _segment_problems(cells: pd.DataFrame) -> Iterator[str]:
    names = [name for name in SEGMENT_COLUMNS if name in cells]
    for line, row in zip(cells.index, cells.to_dict("records"), strict=True):
        texts = [row[name] for name in names]
        if not any(texts) or any(isinstance(text, Refused) for text in texts):
            continue
        where = _where(line, row.get("id"))
        wrong = [text for text in texts if text and math.isnan(_seconds(text))]
        yield from (f"{where}: {text!r} is no number of seconds such as 12.5" for text in wrong)
        start, end = (_seconds(row.get(name, "")) for name in SEGMENT_COLUMNS)
        if not wrong and (problem := segment_problem(start, end)):
            yield f"{where}: its segment {problem}"
        if isinstance(row["audio"], list) and len(row["audio"]) > 1:
            yield f"{where}: a segment lies in a single clip, but the row names several"


def _seconds(text: str) -> float:
    """The number, or NaN if there is none."""
    try:
        seconds = float(text)
    except ValueError:
        return math.nan
    return seconds if math.isfinite(seconds) else math.nan
