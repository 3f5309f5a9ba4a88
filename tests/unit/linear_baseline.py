"""The linear baseline from a bag of words to predictions, as rule fit_linear makes them."""

from __future__ import annotations

import pandas as pd

from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.token_selection import TokenSelection
from speechlasso.systems.bow_linear import BowLinear
from speechlasso.systems.bow_linear_model import Counts, fit_linear


def bow_linear(**settings) -> BowLinear:
    return BowLinear(system="bow_linear", **settings)


def fit_and_predict(
    bow: BagOfWords,
    selection: TokenSelection | None,
    inputs: list[str],
    arm: BowLinear,
    criterion: Criterion,
    seed: int | None = None,
) -> tuple[pd.DataFrame, dict]:
    counts = Counts.of(bow, selection, inputs)
    fitted, training = fit_linear(counts, arm, criterion, seed)
    return fitted.predict_counts(counts), training
