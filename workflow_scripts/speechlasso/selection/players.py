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
        Columns rank, layer, code; weight_<class> where there are any.
    listening
        rank, place, id, start, end (seconds), sound (MP3).
    budget
        Takes the first places of all tokens before the second ones.
    """
    listening = listening[listening["rank"].isin(tokens["rank"])]
    listening = listening.sort_values(["place", "rank"], kind="stable")
    listening = listening.assign(sound=[budget.take(sound) for sound in listening["sound"]])
    by_rank = dict(list(listening.dropna(subset="sound").groupby("rank")))
    tells = _tells(tokens)
    for token in tokens.itertuples():
        if token.rank in by_rank:
            sounds = [
                (f"{row.place}. {row.id}, {row.start:.2f} to {row.end:.2f} s", row.sound)
                for row in by_rank[token.rank].itertuples()
            ]
            title = f"Token {token.rank}: layer {token.layer}, code {token.code}"
            yield Sounds(f"{title}{tells[token.Index]}", sounds)


def _tells(tokens: pd.DataFrame) -> pd.Series:
    """The class of each token's largest weight, in words."""
    weights = tokens.filter(regex="^weight_")
    if weights.empty:
        return pd.Series("", index=tokens.index)
    told = []
    for token, name in weights.abs().idxmax(axis=1).items():
        is_for = weights.at[token, name] > 0
        told.append(f", {'for' if is_for else 'against'} {name.removeprefix('weight_')}")
    return pd.Series(told, index=tokens.index)
