"""Numbers as tables and sentences write them: few digits, none where nothing is known."""

from __future__ import annotations

import pandas as pd


def counted(n: int, what: str) -> str:
    """With what is counted: 1 fold, 2 folds."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def share(number: float) -> str:
    """0.125 as 12.5%."""
    return "" if pd.isna(number) else f"{number:.1%}"


def p_value(number: float) -> str:
    """To three decimals; smaller ones as below 0.001."""
    if pd.isna(number):
        return ""
    return f"{number:.3f}" if number >= 0.001 else "< 0.001"


def mean_of(numbers: pd.Series, decimals: int) -> str:
    """The mean of what there is."""
    return "" if pd.isna(numbers.mean()) else f"{numbers.mean():.{decimals}f}"
