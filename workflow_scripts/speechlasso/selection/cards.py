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
    "lasso": LassoSelection,
    "stability": StabilitySelection,
    "chi_square": RankedSelection,
    "mutual_information": RankedSelection,
    "most_frequent": RankedSelection,
    "random": RandomSelection,
    "all": AllTokens,
}
SELECTIONS = Registry(
    SelectionCard,
    "speechlasso.selections",
    [
        *(
            SelectionCard(name=n, settings=settings, implementation="speechlasso.selection.select")
            for n, settings in _OF_METHOD.items()
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
