"""Listening examples: the sound of the places where kept audio tokens are densest."""

from __future__ import annotations

import pandas as pd

from speechlasso.audio.excerpts import excerpt
from speechlasso.selection.token_evidence import strongest

MOST_TOKENS_HEARD = 50
"""Tokens with examples: ten of one second each take about 1.6 MB."""
AROUND = 0.25
"""Seconds before and after a place, without which half a second of speech is a click."""


def listening_examples(tokens: pd.DataFrame, occurrences: pd.DataFrame) -> pd.DataFrame:
    """The sound of the occurrences of the heaviest tokens.

    Parameters
    ----------
    tokens, occurrences
        As `token_evidence.token_evidence` and `token_evidence.top_occurrences` make them.

    Returns
    -------
    pandas.DataFrame
        rank, place, id, start and end (seconds in the clip, of the place itself), sound (an MP3
        file that begins and ends `AROUND` seconds before and after); in the occurrences' order.

    Raises
    ------
    ClipError
        When a clip cannot be decoded.
    """
    ranks = strongest(tokens, MOST_TOKENS_HEARD)["rank"]
    heard = occurrences[occurrences["rank"].isin(ranks)]
    sounds = [
        excerpt(row.clip, row.start, row.end, AROUND) for row in heard.itertuples(index=False)
    ]
    columns = ["rank", "place", "id", "start", "end"]
    return heard[columns].assign(sound=pd.Series(sounds, index=heard.index, dtype=object))
