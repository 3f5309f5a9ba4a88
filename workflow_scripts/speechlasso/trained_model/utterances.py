"""Utterances to predict: a single one, or a table of them, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from speechlasso.data.manifest import NamedBy, find_clip_problems, problem_lines, read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.data.table_cells import Refused, cell_text
from speechlasso.data.text import normalised
from speechlasso.errors import InputError
from speechlasso.trained_model.recipe import Recipe

OPTIONS = NamedBy(path="--manifest", column="--column ")
NAME_OF_SINGLE = "utterance"


def single_utterance(
    recipe: Recipe,
    text: str | None,
    audio: str | Path | Sequence[str | Path] | None,
    start: float | None = None,
    end: float | None = None,
) -> pd.DataFrame:
    """One utterance as a table of one row.

    Parameters
    ----------
    text, audio, start, end
        As for `TrainedModel.predict`.

    Raises
    ------
    InputError
        If it lacks what the model reads, has what the model does not read, or its clips cannot be
        used.
    """
    clips = [audio] if isinstance(audio, str | Path) else list(audio or [])
    given = {"text": text is not None, "audio": bool(clips)}
    wrong = [f"no {name} is given" for name in recipe.inputs if not given[name]]
    wrong += [
        f"{name} is given, which the model does not read"
        for name in given
        if given[name] and name not in recipe.inputs
    ]
    if wrong:
        options = " and ".join(f"--{name}" for name in recipe.inputs)
        reads = " and ".join(recipe.inputs)
        raise InputError(f"This model reads {reads}, but {'; '.join(wrong)}. Give {options}.")
    columns: dict[str, list] = {"id": [NAME_OF_SINGLE]}
    if "text" in recipe.inputs:
        words = cell_text(text)
        if isinstance(words, Refused):
            raise InputError(f"The text {words.reason}.")
        columns["text"] = [normalised(words)]
    if recipe.reads_audio:
        seconds = [np.nan if bound is None else float(bound) for bound in (start, end)]
        columns |= {"audio": [[str(clip) for clip in clips]], "start": seconds[:1]}
        columns |= {"end": seconds[1:]}
    utterances = pd.DataFrame(columns)
    check_clips(utterances)
    return utterances


def read_utterances(
    recipe: Recipe,
    path: str | Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    audio_root: str | Path | None = None,
    audio_separator: str | None = None,
    clips: str | Path | None = None,
) -> pd.DataFrame:
    """A table of utterances, in any format that `manifest.read_manifest` reads; labels are not
    needed.

    Parameters
    ----------
    columns
        Names of columns that are called otherwise than in training: {"text": "words"}; None for a
        column (start, end) that the table does not have.
    audio_root
        Folder that the clips' paths start from; by default the table's own.
    audio_separator
        Stands between the clips of one utterance; by default as in training.
    clips
        Folder for clips that the table itself holds; None refuses them.

    Raises
    ------
    InputError
        Listing all columns that are missing, all bad rows, or all clips that cannot be used.
    """
    columns = recipe.columns | dict(columns or {})
    unknown = sorted(set(columns) - set(recipe.columns))
    if unknown:
        known = ", ".join(recipe.columns)
        raise InputError(f"--column {unknown[0]}: not a column that is read; those are {known}")
    table = Table(
        path=str(path),
        audio_root=audio_root and str(audio_root),
        audio_separator=audio_separator or recipe.audio_separator,
        columns=Columns.model_validate(columns),
    )
    without = {"label"} if "text" in recipe.inputs else {"label", "text"}
    if not recipe.reads_audio:
        without |= {"audio", "start", "end"}
    utterances = read_manifest(table, without, OPTIONS, clips)
    check_clips(utterances)
    return utterances


def check_clips(utterances: pd.DataFrame) -> None:
    """See that every clip (and segment) can be used.

    Raises
    ------
    InputError
        Listing those that cannot.
    """
    problems = find_clip_problems(utterances)
    if len(problems):
        headline = f"{problems['clip'].nunique()} clips cannot be used:"
        raise InputError.listing(headline, problem_lines(problems), "Mend or leave them out.")
