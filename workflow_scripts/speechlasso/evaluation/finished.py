"""Finished experiments: found by name, and read from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.cards import METRICS
from speechlasso.evaluation.run_predictions import read_test_rows
from speechlasso.evaluation.settings import Evaluation
from speechlasso.evaluation.summary import read_table
from speechlasso.evaluation.words import counted

EXPERIMENTS = Path("results/experiments")
RUNS = "runs.csv"
# Of what runs read in the index: without any of them they read text alone.
_OF_SOUND = ("codes", "frames", "clips")

Rows = dict[tuple[str, str, str], TestRows]


@dataclass(frozen=True)
class Finished:
    """A finished experiment.

    Attributes
    ----------
    name
        That of its folder.
    path
        Its runs.csv.
    runs
        As `summary.runs_table` made it, and arms that are compared besides.
    rows
        Test rows that were read, by arm, fold and seed (as text).
    """

    name: str
    path: Path
    runs: pd.DataFrame
    rows: Rows

    @cached_property
    def index(self) -> pd.DataFrame:
        """The folders of each run."""
        return _read(self.path.with_name("index.tsv"))

    @property
    def root(self) -> Path:
        """What the folders in the index start from."""
        return self.path.resolve().parents[3]

    @cached_property
    def verdicts(self) -> pd.DataFrame | None:
        path = self.path.with_name("verdicts.csv")
        return _read(path) if path.is_file() else None

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(self.runs["arm"]))

    @property
    def folds(self) -> list[str]:
        return list(dict.fromkeys(self.runs["fold"]))

    @property
    def own_arms(self) -> list[str]:
        """Those of runs.csv as it was written."""
        return list(dict.fromkeys(_read(self.path)["arm"]))

    @property
    def has_index(self) -> bool:
        return self.path.with_name("index.tsv").is_file()

    @property
    def design(self) -> str:
        """Folds, and seeds of an arm in each."""
        of_test = self.runs[self.runs["split"] == "test"]
        n_seeds = int(of_test.groupby(["arm", "fold"]).size().max())
        return f"{counted(len(self.folds), 'fold')}, {counted(n_seeds, 'seed')}"

    @property
    def reference(self) -> str:
        """The arm that its verdicts compare with; else the first one that reads text alone, else
        the first one."""
        if named := self._of_verdicts("reference"):
            return named
        if len(self.arms) > 1 and self.has_index:
            of_sound = self.index.reindex(columns=[*_OF_SOUND]).replace("", None)
            reads_text = self.index.loc[of_sound.isna().all(axis="columns"), "arm"]
            return next((arm for arm in self.arms if arm in set(reads_text)), self.arms[0])
        return self.arms[0]

    @property
    def metric(self) -> str:
        """The score that its verdicts are about."""
        return self._of_verdicts("metric") or Evaluation().metric

    @property
    def margin(self) -> float:
        """How far apart arms count as practically equal in its verdicts."""
        margin = self._of_verdicts("margin")
        return Evaluation().margin if margin is None else float(margin)

    def _of_verdicts(self, column: str) -> Any:
        """What is the same in all of them; None where there are none."""
        has_some = self.verdicts is not None and len(self.verdicts)
        return self.verdicts[column].iloc[0] if has_some else None

    def with_test_rows(self) -> Finished:
        """With those of all runs of a single fold, which are resampled."""
        if len(self.folds) > 1:
            return self
        self.require_predictions()
        return replace(self, rows=read_test_rows(self.index, self.root) | self.rows)

    def require_predictions(self) -> None:
        """See that its index tells where predictions are.

        Raises
        ------
        InputError
            If not, since a version wrote it that did not.
        """
        if missing := {"predictions", "training", "manifest", "evaluation"} - set(self.index):
            raise older_version(self.path.with_name("index.tsv"), sorted(missing))

    def require_score(self, metric: str) -> None:
        """See that its runs have a score.

        Raises
        ------
        InputError
            If not, since a version wrote the table that did not know it, or there is none.
        """
        if metric in self.runs:
            return
        if metric in METRICS:
            raise older_version(self.path, [metric])
        scored = self.runs.columns[self.runs.notna().any()]
        known = ", ".join(name for name in METRICS if name in scored)
        raise InputError(f"{self.path}: no score {metric!r}; it has {known}")

    def ids_and_labels(self) -> dict[str, pd.Series]:
        """The class of each test row, by its id, for each fold; the same for all arms."""
        found = read_test_rows(self.index.drop_duplicates("fold"), self.root)
        return {
            fold: rows.predictions.set_index("id")["label"] for (_, fold, _), rows in found.items()
        }


def open_experiment(named: str) -> Finished:
    """The experiment of a name, a folder or a runs.csv.

    Raises
    ------
    InputError
        If there is none, naming those that are there; if its table is of an older version.
    """
    path = Path(named)
    places = [EXPERIMENTS / path / RUNS, path / RUNS, path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(_not_found(named))
    runs = _read(found)
    if missing := {"arm", "fold", "seed", "split"} - set(runs):
        raise InputError(f"{found}: no column {', '.join(sorted(missing))}; is it a {RUNS}?")
    return Finished(found.resolve().parent.name, found, runs, {})


def older_version(path: Path, columns: Sequence[str]) -> InputError:
    return InputError(
        f"{path}: an older version of speechlasso wrote it, without {', '.join(columns)}. To write "
        "the tables anew: snakemake --cores all --forcerun summarise (then --configfile, if the "
        "experiment has one)"
    )


def _not_found(named: str) -> str:
    there = sorted(path.parent.name for path in EXPERIMENTS.glob(f"*/{RUNS}"))
    if Path(named).is_dir() or (EXPERIMENTS / named).is_dir():
        return f"{named}: no {RUNS} in it; run the experiment to its end"
    listed = ", ".join(there) or "none"
    return (
        f"{named}: no experiment; give its name, its folder or its {RUNS}. Finished in "
        f"{EXPERIMENTS.resolve()}: {listed}"
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        return read_table(path)
    except ValueError as error:  # also what pandas raises of a file that is no table
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
