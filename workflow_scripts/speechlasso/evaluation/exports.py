"""The table of scores as papers and READMEs have it: LaTeX and Markdown.

Arms are rows; of each score the mean with its interval, the best of a column in bold, and where the
verdicts tell an arm from the reference arm, a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from speechlasso.evaluation.cards import METRICS, USUAL, title_of
from speechlasso.evaluation.costs import arm_costs, readable
from speechlasso.evaluation.seed_average import is_ensemble
from speechlasso.evaluation.summary import with_interval
from speechlasso.pages import latex_table, latex_text, markdown_table, markdown_text

MARKS = {
    "better": ("†", r"$^{\dagger}$"),
    "worse": ("‡", r"$^{\ddagger}$"),
    "practically equal": ("≈", r"$^{\approx}$"),
}
"""Of a verdict, in Markdown and in LaTeX."""
COSTS = ["trainable_parameters", "mean_sequence_length", "train_seconds", "adapt_seconds"]
# Means that look alike are equally good.
_DIGITS = 3


@dataclass(frozen=True)
class _Cell:
    text: str
    interval: str = ""
    is_best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """The table of scores of an experiment.

    Attributes
    ----------
    experiment
        Its name.
    header
        Names of the columns: of the arms, of `n_scores` scores, and of costs.
    rows
        As long as the header.
    notes
        Sentences below the table: what it shows, how sure, what marks mean.
    """

    experiment: str
    header: list[str]
    rows: list[list[_Cell]]
    notes: list[str]
    n_scores: int

    def markdown(self) -> str:
        def shown(cell: _Cell) -> str:
            text = f"{cell.text} {cell.interval}".rstrip()
            mark = f" {MARKS[cell.mark][0]}" if cell.mark else ""
            return (f"**{text}**" if cell.is_best else text) + mark

        table = markdown_table(
            map(markdown_text, self.header),
            ([markdown_text(arm.text), *map(shown, cells)] for arm, *cells in self.rows),
        )
        return f"{table}\n\n{markdown_text(' '.join(self.notes))}\n"

    def latex(self) -> str:
        """Floating tables for the package booktabs, as wide as a page: the scores, each above its
        interval, with the notes as caption; and, where they were measured, the costs."""
        scores = []
        for row in self.rows:
            arm, *cells = row[: 1 + self.n_scores]
            scores.append([latex_text(arm.text), *map(_in_latex, cells)])
            if any(cell.interval for cell in cells):
                small = (rf"\scriptsize {latex_text(cell.interval)}" for cell in cells)
                scores.append(["", *small])
        caption = latex_text(" ".join(self.notes))
        for symbol, command in MARKS.values():
            caption = caption.replace(symbol, command)
        heads = [_stacked(name) for name in self.header]
        label = f"tab:{self.experiment}"
        tables = [latex_table(heads[: 1 + self.n_scores], scores, caption, label)]
        if costs := heads[1 + self.n_scores :]:
            rows = [[latex_text(c.text) for c in (r[0], *r[-len(costs) :])] for r in self.rows]
            caption = latex_text(f"Costs of the arms of {self.experiment}: means over runs.")
            tables.append(latex_table([heads[0], *costs], rows, caption, f"{label}-costs"))
        return "\n".join(tables)


def _in_latex(cell: _Cell) -> str:
    mark = MARKS[cell.mark][1] if cell.mark else ""
    return (rf"\textbf{{{cell.text}}}" if cell.is_best else cell.text) + mark


def _stacked(head: str) -> str:
    """A column's name in LaTeX, a word above the other: numbers are narrower than names."""
    text = latex_text(head)
    lines = text.replace(" ", r"\\")
    return text if lines == text else rf"\shortstack[b]{{{lines}}}"


def score_table(
    experiment: str,
    runs: pd.DataFrame,
    summary: pd.DataFrame,
    metric: str,
    verdicts: pd.DataFrame | None = None,
) -> ScoreTable:
    """The scores of all arms, the one that chooses first, and what was measured of their costs.

    Seeds that decide together are no arms; summary.csv has them.

    Parameters
    ----------
    runs, summary
        As `summary.runs_table` and `summary.summary_table` make them.
    metric
        The score that the experiment is judged by.
    verdicts
        On arms against a reference arm, by a metric: columns arm, reference, metric, verdict.
    """
    summary = summary[~summary["arm"].map(is_ensemble)]
    found = set(summary["metric"])
    metrics = [metric, *(name for name in _shown(found) if name != metric)]
    scored = summary.dropna(subset="mean")
    by_metric = {name: scored[scored["metric"] == name].set_index("arm") for name in metrics}
    best = {name: _best(of_metric["mean"], name) for name, of_metric in by_metric.items()}
    marks, references = _verdicts(verdicts)
    costs = readable(arm_costs(runs[runs["split"] == "test"])[COSTS])
    rows = []
    for arm in summary["arm"].unique():
        name = f"{arm} (reference)" if arm in references else arm
        scores = [
            _Cell(
                *_parts(*of_metric.loc[arm, ["mean", "ci_low", "ci_high"]]),
                arm in best[score],
                marks.get((arm, score), ""),
            )
            if arm in of_metric.index
            else _Cell("")
            for score, of_metric in by_metric.items()
        ]
        of_costs = costs.loc[arm] if arm in costs.index else [""] * costs.shape[1]
        rows.append([_Cell(name), *scores, *map(_Cell, of_costs)])
    header = ["arm", *(title_of(name) for name in metrics), *costs]
    notes = list(_notes(experiment, summary, references))
    return ScoreTable(experiment, header, rows, notes, len(metrics))


def _parts(mean: float, low: float, high: float) -> tuple[str, str]:
    """A score, and its interval."""
    mean_as_shown, _, interval = with_interval(mean, low, high).partition(" ")
    return mean_as_shown, interval


def _shown(names: Iterable[str]) -> list[str]:
    """Scores with a name for people, and those from outside the project, which were asked for."""
    return [
        card.name
        for card in METRICS.cards()
        if card.name in names and card.in_narrow_tables and (card.title or card.name not in USUAL)
    ]


def _best(means: pd.Series, metric: str) -> set[str]:
    rounded = means.round(_DIGITS)
    best = rounded.max() if METRICS[metric].larger_is_better else rounded.min()
    return set(rounded.index[rounded == best]) if len(rounded) > 1 else set()


def _verdicts(verdicts: pd.DataFrame | None) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Marks by arm and metric, and the arms that all others were compared with."""
    if verdicts is None or verdicts.empty:
        return {}, []
    marked = verdicts[verdicts["verdict"].isin(MARKS)]
    pairs = zip(marked["arm"], marked["metric"], strict=True)
    marks = dict(zip(pairs, marked["verdict"], strict=True))
    return marks, list(verdicts["reference"].unique())


def _notes(experiment: str, summary: pd.DataFrame, references: list[str]) -> Iterator[str]:
    folds, seeds = _count(summary["n"], "fold"), _count(summary["n_seeds"], "seed")
    first = ", averaged first" if summary["n_seeds"].max() > 1 else ""
    yield (
        f"Test scores of {experiment}: means over {folds}, with {seeds} in each{first}; the best "
        "of each column in bold."
    )
    methods = [name for name in summary["interval"].dropna().unique() if name]
    if methods and summary["ci_low"].notna().any():
        yield f"In brackets 95 % intervals: {', '.join(methods)}."
    if references:
        told = ", ".join(f"{symbol} {verdict}" for verdict, (symbol, _) in MARKS.items())
        yield (
            f"Verdicts against {', '.join(references)}, on the same test rows and corrected for "
            f"several comparisons (Holm): {told}; without a mark, undecided or too little data."
        )


def _count(column: pd.Series, what: str) -> str:
    low, high = int(column.min()), int(column.max())
    numbers = str(low) if low == high else f"{low} to {high}"
    return f"{numbers} {what}{'' if high == 1 else 's'}"
