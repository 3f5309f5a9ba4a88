"""The cards of the selections that `select.<name>.method` can name."""

from __future__ import annotations

from typing import Annotated

from speechlasso.registry import Card, OneOf, Registry
from speechlasso.selection.settings import (
    AllTokens,
    LassoSelection,
    RandomSelection,
    RankedSelection,
    SelectionMethod,
    StabilitySelection,
)


class SelectionCard(Card):
    """A way to choose audio tokens.

    Its settings are a `SelectionMethod`; its module has

        select(bow, settings, given) -> TokenSelection

    of the training rows of `bow`, with what else the method reads as `select.Given`.
    """


_OF_METHOD = {
    "lasso": (
        LassoSelection,
        "Tokens with weight in a lasso on words and tokens together.",
    ),
    "stability": (StabilitySelection, "Tokens that the lasso keeps on most half-samples."),
    "chi_square": (RankedSelection, "Tokens that depend most on the class, by chi-square."),
    "mutual_information": (
        RankedSelection,
        "Tokens that tell most of the class (mutual information).",
    ),
    "most_frequent": (RankedSelection, "The most frequent tokens."),
    "random": (RandomSelection, "As many tokens as another selection has, drawn by chance."),
    "all": (AllTokens, "Every token."),
}
SELECTIONS = Registry(
    SelectionCard,
    "speechlasso.selections",
    [
        *(
            SelectionCard(
                name=name,
                settings=settings,
                implementation="speechlasso.selection.select",
                description=description,
            )
            for name, (settings, description) in _OF_METHOD.items()
        ),
    ],
)
Selection = Annotated[SelectionMethod, OneOf(SELECTIONS, "method")]


def default_selections() -> dict[str, SelectionMethod]:
    return {
        "lasso": LassoSelection(method="lasso"),
        "random": RandomSelection(method="random"),
        "all": AllTokens(method="all"),
    }
