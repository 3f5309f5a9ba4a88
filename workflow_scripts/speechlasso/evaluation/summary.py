"""Tables over all runs of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.cards import METRICS, USUAL, not_usual
from speechlasso.evaluation.costs import COSTS, run_costs
from speechlasso.evaluation.seed_average import is_ensemble
from speechlasso.evaluation.statistics import Statistics
from speechlasso.files import read_json
from speechlasso.section import VALIDATION_ROWS

RUN_COLUMNS = [
    "arm",
    "fold",
    "seed",
    "split",
    "n_examples",
    "n_audio_tokens",
    *USUAL,
    "cut_share",
    "mean_text_tokens",
    "mean_audio_tokens",
    "perplexity_before",
    "perplexity_after",
    *COSTS,
    "chosen",
    "chosen_on",
]
SUMMARY_COLUMNS = [
    *("arm", "metric", "mean", "sd", "n", "ci_low", "ci_high"),
    *("interval", "n_seeds", "seed_sd", "chosen_on"),
]
CONFUSION_COLUMNS = ["arm", "fold", "seed", "label", "predicted", "count"]
COUNTS = {"trainable_parameters": "Int64"}  # whole numbers, some of them missing
# Names, which stay as they are: 01 is a speaker, and so is NA.
TEXT_COLUMNS = (
    *("arm", "fold", "split", "metric", "label", "predicted", "interval"),
    *("chosen", "chosen_on", "verdict", "sentence"),
    *("reference", "kind", "id", "group", "text", "reference_predicted", "clip"),
    *("column", "value"),
)
OF_ADAPTATION = " of the adaptation"
"""Ends the names of what the language model was adapted with, in `RunResult.environment`."""
# Time and memory differ from run to run; the summary must not.
SUMMARISED = [*USUAL, "cut_share"]


@dataclass(frozen=True)
class RunResult:
    """What one run left behind: its metrics, its selection (if any), its training record, the log
    of its adaptation (if any), and with what both were computed."""

    arm: str
    fold: str
    seed: int
    metrics: dict[str, Any]
    selection: dict[str, Any] | None
    training: dict[str, Any]
    adaptation: pd.DataFrame | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


def read_run(arm: str, fold: str, seed: int, **folders: str) -> RunResult:
    """Read what a run left in the folders of its parts."""
    training = read_json(f"{folders['training']}/training.json")
    select, adapt = folders.get("select"), folders.get("adapt")
    of_adaptation = read_json(f"{adapt}/spec.json").get("environment", {}) if adapt else {}
    return RunResult(
        arm,
        fold,
        seed,
        read_json(f"{folders['evaluation']}/metrics.json"),
        read_json(f"{select}/selection.json") if select else None,
        training,
        pd.read_csv(f"{adapt}/training_log.csv") if adapt else None,
        training.get("environment", {})
        | {f"{name}{OF_ADAPTATION}": value for name, value in of_adaptation.items()},
    )


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of an experiment (runs.csv, index.tsv, ...) as it was written.

    Names are texts; an empty cell of another column is missing.

    Raises
    ------
    InputError
        When there is no such file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give one of results/experiments/NAME/")
    separator = "\t" if Path(path).suffix == ".tsv" else ","
    columns = pd.read_csv(path, sep=separator, nrows=0).columns
    texts = {name: str for name in columns if name in TEXT_COLUMNS}
    return pd.read_csv(
        path,
        sep=separator,
        dtype=texts | {name: kind for name, kind in COUNTS.items() if name in columns},
        keep_default_na=False,
        na_values={name: [""] for name in columns if name not in texts},
    )


def runs_table(
    results: Iterable[RunResult],
    more_metrics: Iterable[str] = (),
    chosen_on: str = VALIDATION_ROWS,
) -> pd.DataFrame:
    """One row per run and split, with the columns `RUN_COLUMNS` and one for each further metric.

    n_audio_tokens is the size of the audio vocabulary, mean_audio_tokens their mean number in an
    example; cut_share the share of examples too long for the LM; perplexity_before and
    perplexity_after those of texts held out from adaptation; costs as `costs.run_costs` defines
    them; chosen is empty here, and the arm behind a row of `chosen_on_validation`; chosen_on, what
    settings were chosen on (`Folds`): with inner folds the validation rows are those of all of
    them, costs those of the final fit.
    """
    rows = [
        {
            "arm": result.arm,
            "fold": result.fold,
            "seed": result.seed,
            "split": split,
            "n_audio_tokens": len(result.selection["tokens"]) if result.selection else 0,
            **run_costs(result.training, result.adaptation),
            "chosen": "",
            "chosen_on": chosen_on,
            **_perplexities(result.adaptation),
            **scores,
        }
        for result in results
        for split, scores in result.metrics["splits"].items()
    ]
    table = pd.DataFrame(rows).reindex(columns=[*RUN_COLUMNS, *more_metrics])
    return table.astype(COUNTS)


def confusion_table(results: Iterable[RunResult]) -> pd.DataFrame:
    """Test examples of every run by class and predicted class, without pairs that never occur."""
    rows = [
        [result.arm, result.fold, result.seed, label, predicted, count]
        for result in results
        for label, counts in zip(result.metrics["classes"], _test_confusion(result), strict=True)
        for predicted, count in zip(result.metrics["classes"], counts, strict=True)
        if count
    ]
    return pd.DataFrame(rows, columns=CONFUSION_COLUMNS)


def _test_confusion(result: RunResult) -> list[list[int]]:
    return result.metrics["splits"]["test"]["confusion"]


def _perplexities(adaptation: pd.DataFrame | None) -> dict[str, float]:
    if adaptation is None:
        return {}
    perplexity = adaptation["held_out_perplexity"]
    return {
        "perplexity_before": perplexity[adaptation["epoch"] == 0].item(),
        "perplexity_after": perplexity[adaptation["best"]].item(),
    }


GIVEN = r"\bspeech_fraction="
"""In an arm's name, swept settings that are not for validation rows to choose."""


def chosen_on_validation(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What an arm that sweeps a setting scores when its validation rows choose the value.

    Of the arms `NAME[KEY=VALUE,...]` the one with the best validation score stands in, for each
    fold and seed, as `NAME[KEY, ... chosen on validation]`; of equal ones the first. Arms with
    a key that is GIVEN are left out.

    Parameters
    ----------
    runs
        As `runs_table` makes it.
    metric
        One of `cards.METRICS`.

    Returns
    -------
    pandas.DataFrame
        Rows of `runs` under their new names, the old ones in the column `chosen`; none where
        nothing is swept.
    """
    of_families = runs.assign(family=sweep_families(runs["arm"])).dropna(subset="family")
    return _best_of_families(of_families, metric)


def sweep_families(arms: pd.Series) -> pd.Series:
    """What stands in for each arm once validation has chosen; missing for one that sweeps nothing
    or has a key that is GIVEN."""
    arms = arms.where(~arms.str.contains(GIVEN))
    swept = arms.str.extract(r"^(?P<name>.*)\[(?P<pairs>\w+=[^\]]*)\]$")
    keys = swept["pairs"].astype("string").str.replace(r"=[^,]*,?", ", ", regex=True).str[:-2]
    return swept["name"] + "[" + keys + " chosen on validation]"


def with_chosen(index: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """An index with rows for arms that validation chose, those of the runs behind them.

    Parameters
    ----------
    index
        As index.tsv has it.
    chosen
        As `chosen_on_validation` returns it.
    """
    keys = ["chosen", "fold", "seed"]
    runs = chosen[["arm", *keys]].drop_duplicates()
    of_chosen = runs.merge(index.rename(columns={"arm": "chosen"}), on=keys)
    return stacked(index, of_chosen.drop(columns="chosen"))


def best_first(summary: pd.DataFrame, metric: str) -> list[str]:
    """The arms by their mean of a metric, the best one first; of equal ones the first."""
    scores = summary[summary["metric"] == metric]
    is_best_small = not METRICS[metric].larger_is_better
    return scores.sort_values("mean", ascending=is_best_small, kind="stable")["arm"].tolist()


def stacked(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables one below the other; with an empty one among them pandas would make floats of seeds,
    by whose names test rows are found."""
    return pd.concat([table for table in tables if len(table)])


def chosen_among(runs: pd.DataFrame, arms: list[str], metric: str) -> pd.DataFrame:
    """What some arms score when the validation rows of each fold choose between them.

    As `chosen_on_validation`, but between these arms, of whatever name; the rows returned are named
    `ARM or ARM, chosen on validation`.
    """
    candidates = runs[runs["arm"].isin(arms)]
    family = " or ".join(arms) + ", chosen on validation"
    return _best_of_families(candidates.assign(family=family), metric)


def _best_of_families(candidates: pd.DataFrame, metric: str) -> pd.DataFrame:
    validation = candidates[candidates["split"] == "validation"]
    smallest_first = not METRICS[metric].larger_is_better
    best_first = validation.sort_values(metric, ascending=smallest_first, kind="stable")
    best = best_first.drop_duplicates(["family", "fold", "seed"])
    chosen = candidates.merge(best[["arm", "fold", "seed"]], on=["arm", "fold", "seed"])
    chosen = chosen.sort_values("family", kind="stable")
    return chosen.assign(arm=chosen["family"], chosen=chosen["arm"]).drop(columns="family")


def summary_table(
    runs: pd.DataFrame, test_rows: Mapping[tuple[str, str, str], TestRows] | None = None
) -> pd.DataFrame:
    """Each arm's mean test scores and how sure they are, a row per arm and metric.

    Parameters
    ----------
    runs
        As `runs_table` makes it.
    test_rows
        As `run_predictions.read_test_rows` and `seed_average.seeds_together` return them, for an
        experiment of a single fold.

    Returns
    -------
    pandas.DataFrame
        arm, metric; mean over n folds, seeds averaged first; sd over folds, empty for one; ci_low
        and ci_high, the ends of the 95 % interval, which ends where the score does; interval, how
        it was made; n_seeds of a fold; seed_sd, the spread over them (`Statistics.seed_sd`);
        chosen_on, what the arm's settings were chosen on.
    """
    statistics = Statistics(runs, test_rows or {})
    chosen_on = runs.groupby("arm")["chosen_on"].first()
    summarised = [*SUMMARISED, *not_usual(name for name in METRICS if name in runs)]
    scored = runs[runs["split"] == "test"].groupby("arm", sort=False)[summarised].count()
    rows = [
        [*_summary_row(statistics, arm, metric), chosen_on[arm]]
        for arm, counts in scored.iterrows()
        for metric in summarised
        if counts[metric]
    ]
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def _summary_row(statistics: Statistics, arm: str, metric: str) -> list[Any]:
    found = statistics.score(arm, metric)
    # The share of cut rows is no metric.
    bounds = METRICS[metric].bounds if metric in METRICS else (0, 1)
    low, high = np.clip(found.interval, *bounds)
    return [
        *(arm, metric, found.mean, found.sd, found.n, low, high),
        *(statistics.method(arm), statistics.n_seeds(arm), statistics.seed_sd(arm, metric)),
    ]


def score_lines(summary: pd.DataFrame, metric: str) -> str:
    """One line per arm with its mean test score, for the terminal; seeds that decide together are
    left to summary.csv."""
    rows = summary[(summary["metric"] == metric) & ~summary["arm"].map(is_ensemble)]
    width = rows["arm"].str.len().max()
    methods = [name for name in rows["interval"].dropna().unique() if name]
    interval = f" [95 % interval: {', '.join(methods)}]" if methods else ""
    seeds = ", sd over seeds" if rows["seed_sd"].notna().any() else ""
    lines = [f"{'arm':<{width}}  test {metric}{interval}{seeds}"]
    for row in rows.itertuples():
        of_seeds = "" if pd.isna(row.seed_sd) else f"  {row.seed_sd:.3f} over {row.n_seeds} seeds"
        score = with_interval(row.mean, row.ci_low, row.ci_high)
        lines.append(f"{row.arm:<{width}}  {score}{of_seeds}")
    return "\n".join([*lines, *chosen_on_inner_folds(summary)])


def chosen_on_inner_folds(table: pd.DataFrame) -> list[str]:
    """A sentence where the settings of a table's arms were chosen on inner folds."""
    # A table of an older version does not say, nor do rows that are added to a comparison.
    chosen_on = table["chosen_on"].dropna().unique() if "chosen_on" in table else []
    return [
        f"Settings were chosen on {what} of all rows but the test rows; the models scored on those "
        "learned from all of these rows."
        for what in chosen_on
        if what != VALIDATION_ROWS
    ]


def with_interval(mean: float, low: float, high: float) -> str:
    """A score as people read it, 0.864 [0.810, 0.912]; without the ends where they are NaN."""
    return f"{mean:.3f}" + ("" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]")
