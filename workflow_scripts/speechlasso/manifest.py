"""The manifest: a checked table of utterances, whatever file the user brought.

Columns: id (unique), text, label, audio (list of the clips' paths), and where the table has them
split and group.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from speechlasso.config import Table
from speechlasso.errors import InputError

logger = logging.getLogger(__name__)

_READERS = {
    ".csv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False),
    ".tsv": lambda path: pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False),
    ".parquet": pd.read_parquet,
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False),
}


def read_manifest(table: Table) -> pd.DataFrame:
    """Read and check a table of utterances; clips are not opened.

    Returns
    -------
    pandas.DataFrame
        id, text, label (str), audio (list of paths, str), and split and group where configured,
        in the table's order.

    Raises
    ------
    InputError
        Listing every bad row: missing or repeated ids, empty labels, rows without a clip.
    """
    raw = _read_table(table)
    columns = {name: column for name, column in table.columns.model_dump().items() if column}
    root = Path(table.audio_root) if table.audio_root else Path(table.path).parent
    manifest = pd.DataFrame(
        {name: raw[column].map(_text) for name, column in columns.items() if name != "audio"}
    )
    clips = [_clips(cell, table.audio_separator) for cell in raw[columns["audio"]]]
    manifest.insert(3, "audio", [[str(root / clip) for clip in row] for row in clips])
    problems = _row_problems(manifest)
    if problems:
        raise InputError.listing(f"{table.path}: {len(problems)} bad rows:", problems)
    return manifest


def count_rows(table: Table) -> int:
    return len(_read_table(table))


def group_names(table: Table) -> list[str]:
    """The distinct values of the group column, sorted."""
    return sorted(set(_read_table(table)[table.columns.group].map(_text)))


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
    lines = [f"{row.id}: {row.clip}: {row.problem}" for row in problems.itertuples()]
    if on_bad == "error":
        raise InputError.listing(
            f"{len(problems)} clips cannot be used:",
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

    Returns
    -------
    pandas.DataFrame
        id, clip, problem; one row per bad clip, in the manifest's order.
    """
    from speechlasso.audio import clip_problem

    pairs = [
        (row_id, clip)
        for row_id, clips in zip(manifest["id"], manifest["audio"], strict=True)
        for clip in clips
    ]
    with ThreadPoolExecutor(threads) as pool:
        checked = pool.map(clip_problem, [clip for _, clip in pairs])
        found = list(tqdm(checked, total=len(pairs), desc="checking clips", unit="clip"))
    rows = [(*pair, problem) for pair, problem in zip(pairs, found, strict=True) if problem]
    return pd.DataFrame(rows, columns=["id", "clip", "problem"])


def _read_table(table: Table) -> pd.DataFrame:
    path = Path(table.path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; dataset.table.path must name your data table")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown kind of table; expected one of {', '.join(_READERS)}")
    try:
        frame = reader(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix}: {error}") from error
    _require_columns(frame, table)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return frame


def _require_columns(frame: pd.DataFrame, table: Table) -> None:
    problems = []
    for name, column in table.columns.model_dump().items():
        if column and column not in frame.columns:
            near = difflib.get_close_matches(column, list(map(str, frame.columns)), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"dataset.table.columns.{name}: no column {column!r}{hint}")
    if problems:
        raise InputError.listing(
            f"{table.path}: columns are missing:",
            problems,
            f"The table has: {', '.join(map(str, frame.columns))}.",
        )


def _row_problems(manifest: pd.DataFrame) -> list[str]:
    # Line numbers as an editor shows them: the header is line 1.
    lines = manifest.index + 2
    problems = []
    for line, row_id, label, clips in zip(
        lines, manifest["id"], manifest["label"], manifest["audio"], strict=True
    ):
        name = f"row {line} (id {row_id!r})"
        if not row_id:
            problems.append(f"row {line}: the id is empty")
        if not label:
            problems.append(f"{name}: the label is empty")
        if not clips:
            problems.append(f"{name}: no clip is named")
    repeated = manifest["id"].duplicated(keep=False) & (manifest["id"] != "")
    for row_id, group in manifest[repeated].groupby("id", sort=False):
        places = ", ".join(str(index + 2) for index in group.index)
        problems.append(f"id {row_id!r} occurs in rows {places}; ids must be unique")
    return problems


def _text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and pd.isna(cell)):
        return ""
    return str(cell).strip()


def _clips(cell: object, separator: str) -> list[str]:
    parts: Sequence[object] = _text(cell).split(separator) if not _is_list(cell) else cell
    return [text for part in parts if (text := _text(part))]


def _is_list(cell: object) -> bool:
    return not isinstance(cell, str) and hasattr(cell, "__iter__")
