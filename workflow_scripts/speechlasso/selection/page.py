"""One page per selection: how its tokens were chosen, what they tell, where to hear them."""

from __future__ import annotations

import pandas as pd

from speechlasso.figures import figure_or_sentence
from speechlasso.pages import html_table, render_page
from speechlasso.selection.figures import (
    MOST_CLASSES,
    MOST_TOKENS,
    class_weight_figure,
    layer_weight_figure,
    path_figure,
    strongest_classes,
    strongest_tokens,
)
from speechlasso.selection.token_selection import TokenSelection


def render_selection(
    name: str,
    selection: TokenSelection,
    tokens: pd.DataFrame,
    occurrences: pd.DataFrame,
    path_table: pd.DataFrame | None,
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
    """
    evidence = pd.DataFrame(
        [(key, value) for key, value in selection.evidence.items() if value is not None],
        columns=["", "value"],
    )
    path = None
    if path_table is not None:
        path = figure_or_sentence(path_figure, path_table, selection.evidence["alpha"])
    classes = None
    if selection.class_weights:
        classes = figure_or_sentence(class_weight_figure, tokens)
    shown = strongest_tokens(tokens)
    return render_page(
        "selection.html",
        name=name,
        method=selection.method,
        n_tokens=len(selection.tokens),
        n_features=selection.n_features,
        evidence_table=html_table(evidence),
        path_figure=path,
        layer_figure=figure_or_sentence(layer_weight_figure, tokens),
        class_figure=classes,
        most_tokens=MOST_TOKENS,
        most_classes=MOST_CLASSES,
        token_table=html_table(_of_shown_classes(shown).round(4)),
        occurrence_table=html_table(occurrences[occurrences["rank"].isin(shown["rank"])].round(2)),
    )


def _of_shown_classes(tokens: pd.DataFrame) -> pd.DataFrame:
    """Without the columns of classes that are too many for a page."""
    names = {name.removeprefix("df_") for name in tokens if name.startswith("df_")}
    if len(names) <= MOST_CLASSES:
        return tokens
    kept = {name.removeprefix("weight_") for name in strongest_classes(tokens)}
    kept = kept or set(sorted(names)[:MOST_CLASSES])
    dropped = [f"{kind}_{name}" for kind in ("weight", "df") for name in names - kept]
    return tokens.drop(columns=dropped, errors="ignore")
