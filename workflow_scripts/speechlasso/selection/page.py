"""One page per selection: how its tokens were chosen, what they tell, where to hear them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from speechlasso.blocks import Figure, Section, SoundBudget, Table, Text
from speechlasso.pages import render_page
from speechlasso.selection.figures import (
    MOST_CLASSES,
    MOST_TOKENS,
    class_weight_figure,
    layer_weight_figure,
    path_figure,
    strongest_classes,
    strongest_tokens,
)
from speechlasso.selection.players import token_players
from speechlasso.selection.token_selection import TokenSelection


def render_selection(
    name: str,
    selection: TokenSelection,
    tokens: pd.DataFrame,
    occurrences: pd.DataFrame,
    path_table: pd.DataFrame | None,
    listening: pd.DataFrame | None = None,
) -> str:
    """HTML of a selection that was fitted or ranked.

    Parameters
    ----------
    name
        The selection's folder, to find it again.
    tokens, occurrences
        As `token_evidence.token_evidence` and `token_evidence.top_occurrences` make them.
    path_table
        As `SelectionPath.table`, where the selection lies on a path.
    listening
        rank, place, id, start, end, sound (MP3), where sounds were cut out.
    """
    sections = [
        Section("How they were chosen", _choice(selection, path_table)),
        Section("Where they lie", _layers(tokens)),
        Section("What they tell", _classes(selection, tokens)),
        Section("Token by token", _tokens(tokens)),
        Section("Where to listen", _occurrences(tokens, occurrences, listening)),
    ]
    return render_page(
        name,
        [section for section in sections if section.blocks],
        heading=f"{len(selection.tokens)} audio tokens by {selection.method}",
        about=f"{name}, of {selection.n_features} audio tokens in all",
    )


def _choice(selection: TokenSelection, path_table: pd.DataFrame | None) -> list[Any]:
    pairs = [(key, value) for key, value in selection.evidence.items() if value is not None]
    evidence = pd.DataFrame(pairs, columns=["what", "value"], dtype=object)
    blocks: list[Any] = [Table("What the selection says of itself", evidence)] if pairs else []
    if path_table is not None:
        title, alpha = "Size of the selection and score over alpha", selection.evidence["alpha"]
        is_number = path_table.select_dtypes("number").drop(columns="seconds", errors="ignore")
        blocks.append(Figure.of("path", title, is_number, path_figure, path_table, alpha))
    return blocks


def _layers(tokens: pd.DataFrame) -> list[Any]:
    title, columns = "Weights of the kept tokens by codec layer", ["layer", "code", "weight"]
    return [Figure.of("layers", title, tokens[columns], layer_weight_figure, tokens)]


def _classes(selection: TokenSelection, tokens: pd.DataFrame) -> list[Any]:
    if not selection.class_weights:
        return []
    title, data = "Weights of the kept tokens by class", tokens.filter(regex="^(layer|code|weight)")
    return [
        Text("Coefficients at the kept tokens: positive ones speak for the class."),
        Figure.of("classes", title, data, class_weight_figure, tokens),
    ]


def _tokens(tokens: pd.DataFrame) -> list[Any]:
    shown = _of_shown_classes(strongest_tokens(tokens)).round(4)
    words = (
        "df: share of the class's training utterances in which the token occurs. "
        "selection_probability: share of half-samples of the training rows in which the same fit "
        f"selects it. The page shows {MOST_TOKENS} tokens at most, those of largest weight, and "
        f"{MOST_CLASSES} classes; tokens.parquet and occurrences.parquet beside it have all."
    )
    return [Text(words), Table("The kept tokens", shown, most_rows=MOST_TOKENS)]


def _occurrences(
    tokens: pd.DataFrame, occurrences: pd.DataFrame, listening: pd.DataFrame | None
) -> list[Any]:
    shown = strongest_tokens(tokens)
    rows = occurrences[occurrences["rank"].isin(shown["rank"])].round(2)
    budget = SoundBudget()
    players = [] if listening is None else list(token_players(shown, listening, budget))
    blocks: list[Any] = [
        Text("For each token the half seconds of training speech in which it is densest."),
        *players,
        *budget.told("listening.parquet beside it has all"),
    ]
    return [*blocks, Table("Where the tokens are densest", rows, most_rows=3 * MOST_TOKENS)]


def _of_shown_classes(tokens: pd.DataFrame) -> pd.DataFrame:
    """Without the columns of classes that are too many for a page."""
    names = {name.removeprefix("df_") for name in tokens if name.startswith("df_")}
    if len(names) <= MOST_CLASSES:
        return tokens
    kept = {name.removeprefix("weight_") for name in strongest_classes(tokens)}
    kept = kept or set(sorted(names)[:MOST_CLASSES])
    dropped = [f"{kind}_{name}" for kind in ("weight", "df") for name in names - kept]
    return tokens.drop(columns=dropped, errors="ignore")
