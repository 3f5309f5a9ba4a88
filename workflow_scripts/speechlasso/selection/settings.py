"""Settings of the bag of words and of the ways to select audio tokens."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
)

from speechlasso.section import ORDERED_NUMBERS, PositiveFloat, Section, Seed


def _parse_alpha(value: Any) -> Any:
    """One message for whatever is wrong, instead of one for each allowed kind of value."""
    if value == "cv":
        return value
    try:
        numbers = [float(number) for number in (value if isinstance(value, list) else [value])]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise ValueError("should be a positive number, a list of them, or cv")
    return numbers if isinstance(value, list) else numbers[0]


Alpha = Annotated[float | list[float] | Literal["cv"], BeforeValidator(_parse_alpha)]


class BagOfWords(Section):
    layers: PositiveInt | None = None
    """Use the last so many codec layers; by default all."""
    lowercase: bool = True
    """Fold the case of text words before counting them."""

    def as_read(self, has_audio: bool) -> Self:
        return self if has_audio else self.with_defaults("layers")


class LassoFitting(Section):
    """What the lasso is fitted to; one path of alphas serves all choices on it."""

    inputs: Literal["joint", "audio"] = "joint"
    """Let text words compete with audio tokens for weight, or fit audio tokens alone."""
    layers: Annotated[
        Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None, ORDERED_NUMBERS
    ] = None
    """Codec layers to choose from (0 is the first); by default all that `bow` counts."""
    weighting: Literal["tfidf", "counts"] = "tfidf"
    """Weigh counts by TF-IDF, or take them as they are."""
    scaling: Literal["unit_variance", "none"] = "unit_variance"
    """Scale every feature to unit variance, which favours rare tokens, or leave frequent tokens
    their larger range."""
    frequency_exponent: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Penalise an audio token by alpha / df ** this, df being the share of the rows it occurs in:
    above 0, frequent tokens are preferred."""
    multi_class: Literal["multinomial", "one_vs_rest"] = "multinomial"
    """With more than two classes: one softmax model, or one model for each class."""
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Share of the training rows kept out of the fit to score it; whole groups where known."""
    seed: Seed = 42
    """Draws the held-out rows, cross-validation folds and subsamples."""


class SelectionMethod(Section):
    """What selections have in common; each has a key `method`."""

    reads_path: ClassVar[bool] = False
    """Whether it chooses on the lasso's path of alphas."""
    draws: ClassVar[bool] = False
    """Whether it draws tokens anew for each seed and fold of the experiment."""
    has_evidence: ClassVar[bool] = True
    """Whether its tokens have reasons that a page can show."""

    @property
    def is_cross_validated(self) -> bool:
        """Whether a score decides on something."""
        return False


class LikeAnother(SelectionMethod):
    """A selection that takes its size from another one."""

    like: str = "lasso"
    """Keep as many tokens as this selection, from the same codec layers."""

    def as_read(self) -> Self:
        # The selection behind the name is upstream, and its key says more.
        return self.with_defaults("like")


class LassoSelection(SelectionMethod, LassoFitting):
    reads_path = True
    method: Literal["lasso"]
    """L1-penalised logistic regression on text words and audio tokens together."""
    alpha: Alpha = 8.0
    """Strength of the L1 penalty: larger keeps fewer tokens. scikit-learn's C is 1 / alpha. A list
    runs every arm once for each; cv chooses by cross-validation inside the training rows, no
    group in two folds."""
    n_tokens: PositiveInt | None = None
    """Choose the alpha that keeps (about) this many tokens; `alpha` is then not read."""
    threshold: Literal["mean", "nonzero", "top_k"] = "mean"
    """Keep tokens whose weight is at least the mean over all features that occur, or is not zero,
    or is among the `top_k` largest."""
    top_k: PositiveInt | None = None
    """Number of tokens to keep with threshold: top_k."""
    cv_folds: Annotated[int, Field(ge=2)] = 5
    """Folds of alpha: cv."""
    one_standard_error: bool = False
    """With alpha: cv, take the largest alpha within one standard error of the best score."""
    n_subsamples: Annotated[int, Field(ge=0)] = 20
    """Half-samples of the training rows that tell how reliably each kept token is selected."""

    def as_read(self) -> Self:
        selection = self if self.threshold == "top_k" else self.with_defaults("top_k")
        if self.n_tokens is not None:
            selection = selection.with_defaults("alpha")
        if not self.is_cross_validated:
            selection = selection.with_defaults("cv_folds", "one_standard_error")
        return selection

    @property
    def is_cross_validated(self) -> bool:
        """Whether alpha is chosen by a score."""
        return self.n_tokens is None and self.alpha == "cv"


class StabilitySelection(LikeAnother, LassoFitting):
    method: Literal["stability"]
    """The tokens that a lasso selects most often on half-samples of the training rows."""
    like: str = "lasso"
    """Keep as many tokens as this selection."""
    alpha: PositiveFloat = 8.0
    """Strength of the L1 penalty on a half-sample."""
    n_subsamples: PositiveInt = 50
    """Number of half-samples."""


class RankedSelection(LikeAnother):
    method: Literal["chi_square", "mutual_information", "most_frequent"]
    """Tokens that depend most on the class, one by one, or that occur most often."""


class RandomSelection(LikeAnother):
    draws, has_evidence = True, False
    method: Literal["random"]
    """Control: tokens drawn uniformly without replacement from those that `like` could choose from,
    anew for each seed and fold of the experiment."""
    like: str = "lasso"
    """Draw as many tokens as this selection keeps, from the same codec layers."""


class AllTokens(SelectionMethod):
    has_evidence = False
    method: Literal["all"]
    """Keep every audio token that the training rows have."""
