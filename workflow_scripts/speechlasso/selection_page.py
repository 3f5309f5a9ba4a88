"""One page per selection: how its tokens were chosen, what they tell, where to hear them."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from speechlasso.pages import html_table, render_page
from speechlasso.selection_figures import (
    class_weight_figure,
    layer_weight_figure,
    path_figure,
)
from speechlasso.token_selection import TokenSelection


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
        path = Markup(path_figure(path_table, selection.evidence["alpha"]))
    classes = Markup(class_weight_figure(tokens)) if selection.class_weights else None
    return render_page(
        "selection.html",
        name=name,
        method=selection.method,
        n_tokens=len(selection.tokens),
        n_features=selection.n_features,
        evidence_table=Markup(html_table(evidence)),
        path_figure=path,
        layer_figure=Markup(layer_weight_figure(tokens)),
        class_figure=classes,
        token_table=Markup(html_table(tokens.round(4))),
        occurrence_table=Markup(html_table(occurrences.round(2))),
    )
