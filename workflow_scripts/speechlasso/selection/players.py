"""Players of the places where kept tokens are heard."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from speechlasso.blocks import SoundBudget, Sounds


def token_players(
    tokens: pd.DataFrame, listening: pd.DataFrame, budget: SoundBudget
) -> Iterator[Sounds]:
    """For each token that has any, its places.

    Parameters
    ----------
    tokens
        Columns rank, layer, code.
    listening
        rank, place, id, start, end (seconds), sound (MP3).
    budget
        Takes the first places of all tokens before the second ones.
    """
    listening = listening[listening["rank"].isin(tokens["rank"])]
    listening = listening.sort_values(["place", "rank"], kind="stable")
    listening = listening.assign(sound=[budget.take(sound) for sound in listening["sound"]])
    by_rank = dict(list(listening.dropna(subset="sound").groupby("rank")))
    for token in tokens.itertuples():
        if token.rank in by_rank:
            sounds = [
                (f"{row.place}. {row.id}, {row.start:.2f} to {row.end:.2f} s", row.sound)
                for row in by_rank[token.rank].itertuples()
            ]
            yield Sounds(f"Token {token.rank}: layer {token.layer}, code {token.code}", sounds)
