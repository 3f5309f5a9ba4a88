"""Whether the utterances that a language model is adapted to are among those that test it.

A corpus (`adapt.corpus`) that holds validation or test utterances makes adaptation transductive:
their labels stay unseen, their words and sounds do not.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from speechlasso.files import read_json

logger = logging.getLogger(__name__)


def corpus_overlap(
    corpus: pd.DataFrame, examples: pd.DataFrame, digests: Mapping[str, str | None], by_id: bool
) -> dict[str, dict[str, int]]:
    """How many validation and test rows a corpus holds as well; a warning tells of them.

    Parameters
    ----------
    corpus, examples
        id, audio (list of clips) and maybe start and end; examples also split.
    digests
        SHA-256 of the clips of both, as their manifests recorded them.
    by_id
        Whether both tables name their utterances. Line numbers are no names.

    Returns
    -------
    dict
        For each of these splits: n_rows; same_id; same_clip, the rows with a clip of the same bytes
        (of segments: with a common stretch of it); either, the rows that are one or both.
    """
    held = examples[examples["split"] != "train"]
    same_id = held["id"].isin(corpus["id"]) if by_id else pd.Series(False, index=held.index)
    same_clip = _same_clip(corpus, held, digests)
    found = {}
    for split in ("validation", "test"):
        rows = held["split"] == split
        found[split] = {
            "n_rows": int(rows.sum()),
            "same_id": int((rows & same_id).sum()),
            "same_clip": int((rows & same_clip).sum()),
            "either": int((rows & (same_id | same_clip)).sum()),
        }
        if found[split]["either"]:
            logger.warning(
                "adapt.corpus holds %d of the %d %s rows (%d by id, %d by clip): adaptation is "
                "transductive; leave them out of the corpus",
                *(found[split][key] for key in ("either", "n_rows")),
                split,
                *(found[split][key] for key in ("same_id", "same_clip")),
            )
    return found


def overlapping_arms(overlap_files: Mapping[str, Iterable[str]]) -> list[str]:
    """The arms whose corpus holds rows that test them, from the files of each arm's runs."""
    return [
        arm
        for arm, paths in overlap_files.items()
        if any(of_split["either"] for path in paths for of_split in read_json(path).values())
    ]


def _same_clip(
    corpus: pd.DataFrame, held: pd.DataFrame, digest: Mapping[str, str | None]
) -> pd.Series:
    stretches = defaultdict(list)
    for clip, start, end in _stretches(corpus):
        stretches[digest.get(clip)].append((start, end))
    stretches.pop(None, None)
    is_there = [
        any(
            start < other_end and other_start < end
            for clip, start, end in _stretches(held.loc[[index]])
            for other_start, other_end in stretches.get(digest.get(clip), ())
        )
        for index in held.index
    ]
    return pd.Series(is_there, index=held.index, dtype=bool)


def _stretches(rows: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """Clip, first and last second of each clip of each row."""
    rows = rows.reindex(columns=["audio", "start", "end"])
    for clips, start, end in rows.itertuples(index=False):
        first = 0.0 if pd.isna(start) else start
        last = np.inf if pd.isna(end) else end
        yield from ((clip, first, last) for clip in clips)
