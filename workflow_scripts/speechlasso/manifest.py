"""The manifest: a checked table of utterances, whatever file the user brought.

Columns: id (unique), text, label, audio (list of the clips' paths), and where the table has them
split, group, and start and end (seconds in the clip, NaN where the segment is open).
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from speechlasso.clip_files import ClipError
from speechlasso.config import Table
from speechlasso.errors import InputError
from speechlasso.segments import is_open, segment_problem

logger = logging.getLogger(__name__)

SEGMENT_COLUMNS = ("start", "end")
_READERS = {
    ".csv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False),
    ".tsv": lambda path: pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False),
    ".parquet": pd.read_parquet,
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False),
}


@dataclass(frozen=True)
class NamedBy:
    """How the user names a table and its columns, for messages."""

    path: str = "dataset.table.path"
    column: str = "dataset.table.columns."


CONFIGURATION = NamedBy()


def read_manifest(
    table: Table, without: Collection[str] = (), named_by: NamedBy = CONFIGURATION
) -> pd.DataFrame:
    """Read and check a table of utterances; clips are not opened.

    Parameters
    ----------
    without
        Columns (by their names in the manifest) that are not asked of the table, and left out.

    Returns
    -------
    pandas.DataFrame
        id, text, label (str), audio (list of paths, str), and split and group where configured,
        in the table's order. start and end (float64, seconds, NaN where open), both where one of
        them is configured.

    Raises
    ------
    InputError
        Listing every bad row: missing or repeated ids, empty labels, rows without a clip, segments
        that no clip can have.
    """
    columns = _configured(table, without)
    raw = _read_table(table, columns, named_by)
    text_columns = [name for name in columns if name not in ("audio", *SEGMENT_COLUMNS)]
    manifest = pd.DataFrame({name: raw[columns[name]].map(_text) for name in text_columns})
    if "id" not in columns and "id" not in without:
        # Line numbers as an editor shows them: the header is line 1.
        manifest.insert(0, "id", (manifest.index + 2).astype(str))
    if "audio" in columns:
        manifest.insert(min(3, manifest.shape[1]), "audio", _paths(raw[columns["audio"]], table))
    segments = _segment_texts(raw, columns)
    problems = _row_problems(manifest) + _segment_problems(manifest, segments)
    if problems:
        raise InputError.listing(f"{table.path}: {len(problems)} bad rows:", problems)
    return manifest.join(segments.map(_seconds).astype(np.float64))


def count_rows(table: Table, without: Collection[str] = ()) -> int:
    return len(_read_table(table, _configured(table, without)))


def group_names(table: Table) -> list[str]:
    """The distinct values of the group column, sorted."""
    raw = _read_table(table, _configured(table))
    return sorted(set(raw[table.columns.group].map(_text)))


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
        )
    logger.warning("left out %d utterances with bad clips (see problems.csv)", bad.sum())
    return manifest[~bad].reset_index(drop=True)


def find_clip_problems(manifest: pd.DataFrame, threads: int = 1) -> pd.DataFrame:
    """Decode every clip and say what is wrong with those that cannot be used.

    A clip that several rows name is decoded once.

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
        checked = pool.map(_length_or_problem, clips)
        found = list(tqdm(checked, total=len(clips), desc="checking clips", unit="clip", delay=1))
    lengths = dict(zip(clips, found, strict=True))
    problems = [
        (row.id, clip, problem)
        for row in rows.itertuples()
        for clip in dict.fromkeys(row.audio)
        if (problem := _problem_in_row(lengths[clip], row.start, row.end))
    ]
    return pd.DataFrame(problems, columns=["id", "clip", "problem"])


def _length_or_problem(clip: str) -> float | str:
    """Seconds, or what is wrong with the clip."""
    from speechlasso.clip_check import check_clip  # decoders, which planning a run does not need

    try:
        return check_clip(clip)
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
    return {name: column for name, column in columns.items() if column and name not in without}


def _read_table(
    table: Table, columns: dict[str, str], named_by: NamedBy = CONFIGURATION
) -> pd.DataFrame:
    path = Path(table.path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; {named_by.path} must name your data table")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of table; expected one of {', '.join(_READERS)}")
    try:
        frame = reader(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix}: {error}") from error
    _require_columns(frame, path, columns, named_by)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return frame


def _require_columns(
    frame: pd.DataFrame, path: Path, columns: dict[str, str], named_by: NamedBy
) -> None:
    problems = []
    for name, column in columns.items():
        if column not in frame.columns:
            near = difflib.get_close_matches(column, list(map(str, frame.columns)), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{named_by.column}{name}: no column {column!r}{hint}")
    if problems:
        raise InputError.listing(
            f"{path}: columns are missing:",
            problems,
            f"The table has: {', '.join(map(str, frame.columns))}.",
        )


def _row_problems(manifest: pd.DataFrame) -> list[str]:
    # Line numbers as an editor shows them: the header is line 1.
    lines = manifest.index + 2
    problems = []
    for line, row in zip(lines, manifest.to_dict("records"), strict=True):
        name = f"row {line} (id {row['id']!r})"
        if not row["id"]:
            problems.append(f"row {line}: the id is empty")
        if not row.get("label", "unknown"):
            problems.append(f"{name}: the label is empty")
        if not row.get("audio", ["unknown"]):
            problems.append(f"{name}: no clip is named")
    repeated = manifest["id"].duplicated(keep=False) & (manifest["id"] != "")
    for row_id, group in manifest[repeated].groupby("id", sort=False):
        places = ", ".join(str(index + 2) for index in group.index)
        problems.append(f"id {row_id!r} occurs in rows {places}; ids must be unique")
    return problems


def _segment_texts(raw: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Columns start and end as they are written, or none where the table has neither."""
    configured = {name: columns[name] for name in SEGMENT_COLUMNS if name in columns}
    texts = pd.DataFrame(
        {name: raw[column].map(_text) for name, column in configured.items()}, index=raw.index
    )
    return texts.reindex(columns=SEGMENT_COLUMNS, fill_value="") if configured else texts


def _segment_problems(manifest: pd.DataFrame, segments: pd.DataFrame) -> list[str]:
    problems = []
    for index, texts in zip(segments.index, segments.itertuples(index=False), strict=True):
        if not any(texts):
            continue
        name = f"row {index + 2} (id {manifest['id'][index]!r})"
        start, end = map(_seconds, texts)
        wrong = [text for text in texts if text and math.isnan(_seconds(text))]
        problems += [f"{name}: {text!r} is no number of seconds such as 12.5" for text in wrong]
        if not wrong and (problem := segment_problem(start, end)):
            problems.append(f"{name}: its segment {problem}")
        if len(manifest["audio"][index]) > 1:
            problems.append(f"{name}: a segment lies in a single clip, but the row names several")
    return problems


def _seconds(text: str) -> float:
    """The number, or NaN if there is none."""
    try:
        seconds = float(text)
    except ValueError:
        return math.nan
    return seconds if math.isfinite(seconds) else math.nan


def _text(cell: object) -> str:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return ""
    return str(cell).strip()


def _paths(cells: pd.Series, table: Table) -> list[list[str]]:
    """The clips that each row names, from the folder that their paths start from."""
    root = Path(table.audio_root) if table.audio_root else Path(table.path).parent
    return [[str(root / clip) for clip in _clips(cell, table.audio_separator)] for cell in cells]


def _clips(cell: object, separator: str) -> list[str]:
    parts: Sequence[object] = _text(cell).split(separator) if not _is_list(cell) else cell
    return [text for part in parts if (text := _text(part))]


def _is_list(cell: object) -> bool:
    return not isinstance(cell, str) and hasattr(cell, "__iter__")
