"""Verdicts in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechlasso.evaluation.cards import MetricCard, title_of
from speechlasso.evaluation.statistics import CONFIDENCE
from speechlasso.evaluation.words import p_value


def sentence(
    row: Any,
    card: MetricCard,
    evidence: str,
    missing: str = "",
    by_rows: tuple[float, float] | None = None,
) -> str:
    """What the data say of an arm and the reference arm, and what they cannot tell.

    Parameters
    ----------
    row
        Of `verdicts.verdict_table`, as `itertuples` returns it.
    card
        Of its metric.
    evidence
        What the difference was found on.
    missing
        What is too little, where nothing was tested.
    by_rows
        The interval that single rows give, where a few groups give a narrower one.
    """
    scale = _Scale(card)
    if row.verdict == "too little data":
        return f"too little data to compare {row.arm} with {row.reference}: {missing}"
    is_told_by_size = row.verdict in ("better", "worse")
    sign = -1 if is_told_by_size and row.difference < 0 else 1
    low, high = sorted((sign * row.ci_low, sign * row.ci_high))
    if by_rows:
        ends = map(scale.number, sorted(sign * end for end in by_rows))
        evidence += f"; so few groups may agree by chance, single rows give {' to '.join(ends)}"
    p = p_value(row.p_holm)
    found = f"{evidence}; Holm p {p if p.startswith('<') else f'= {p}'}"
    if row.verdict == "practically equal":
        return (
            f"{row.arm} and {row.reference} are practically equal, at most "
            f"{scale.amount(row.margin)} apart with a probability of {row.p_equal:.0%} "
            f"(95 % interval {scale.number(low)} to {scale.number(high)}; {found})"
        )
    if row.verdict == "undecided":
        is_one_of_several = low > 0 or high < 0
        several = ", beyond 0, but there are several comparisons" if is_one_of_several else ""
        return (
            f"cannot tell {row.arm} from {row.reference}: difference between {scale.number(low)} "
            f"and {scale.amount(high)}{scale.direction} (95 % interval{several}; {found})"
        )
    is_little = row.p_equal >= CONFIDENCE
    little = f", within the margin of {scale.number(row.margin)}" if is_little else ""
    return (
        f"{row.arm} is {row.verdict} than {row.reference} by {scale.amount(abs(row.difference))}"
        f"{scale.direction}{little} "
        f"(95 % interval {scale.number(low)} to {scale.number(high)}; {found})"
    )


@dataclass(frozen=True)
class _Scale:
    """How people say a metric's numbers: shares of 1 of which more is better in points."""

    card: MetricCard

    @property
    def _is_in_points(self) -> bool:
        return self.card.larger_is_better and self.card.bounds == (0, 1)

    def number(self, value: float) -> str:
        return f"{100 * value:.1f}" if self._is_in_points else f"{value:.3f}"

    def amount(self, value: float) -> str:
        """With what it is a number of."""
        points = "points of " if self._is_in_points else "in "
        return f"{self.number(value)} {points}{title_of(self.card.name)}"

    @property
    def direction(self) -> str:
        return "" if self.card.larger_is_better else ", where less is better"
