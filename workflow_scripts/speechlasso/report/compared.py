"""What was compared: the data, the classes and the arms, for those who have not seen the
configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from speechlasso.blocks import Section, Table, Text
from speechlasso.evaluation.cards import title_of
from speechlasso.evaluation.errors_by_arm import MOST_VALUES
from speechlasso.evaluation.words import counted, share
from speechlasso.report.evidence import Evidence
from speechlasso.section import SPLITS

MOST_CLASSES = 20


def compared_section(evidence: Evidence) -> Section:
    supports = _supports(evidence)
    arms, tokens = (evidence.about.get(name, {}) for name in ("arms", "tokens"))
    return Section(
        "What was compared",
        [
            Text(" ".join([*_data(evidence), *_chance(supports)])),
            _class_table(supports, evidence.runs["fold"].nunique()),
            *([Table("What stands behind the arms", pd.DataFrame(arms))] if arms else []),
            *(Text(words, "note") for words in dict.fromkeys(tokens.values())),
        ],
    )


def _data(evidence: Evidence) -> Iterator[str]:
    if told := evidence.about.get("data"):
        yield told
    folds, seeds = (counted(evidence.runs[name].nunique(), name) for name in ("fold", "seed"))
    yield f"Each arm learned the task on {folds} with {seeds}."
    of_tests = evidence.groups
    if of_tests is not None:
        n_groups = of_tests.loc[of_tests["column"] == "group", "value"].nunique()
        more = " or more" if n_groups == MOST_VALUES else ""
        if n_groups:
            yield f"The test rows come from {n_groups}{more} groups."


def _chance(supports: pd.DataFrame) -> Iterator[str]:
    """What an arm scores that always names the most frequent class."""
    test = supports["test"]
    part, n_found = test.max() / test.sum(), (test > 0).sum()
    macro_f1 = 2 * part / (1 + part) / n_found
    yield (
        f"There are {len(test)} classes. Chance: always naming the most frequent one, "
        f"{test.idxmax()}, is right on {share(part)} of the test rows, a "
        f"{title_of('macro_f1')} of {macro_f1:.3f}."
    )


def _supports(evidence: Evidence) -> pd.DataFrame:
    """Utterances of each class (rows) in each split, summed over folds; all arms have the same."""
    of_folds = {result.fold: result for result in reversed(evidence.results)}
    rows = [
        [of_class["class"], split, of_class["support"]]
        for result in of_folds.values()
        for split, scores in result.metrics["splits"].items()
        for of_class in scores["per_class"]
    ]
    frame = pd.DataFrame(rows, columns=["class", "split", "n"])
    found = frame.groupby(["class", "split"])["n"].sum().unstack("split", fill_value=0)
    return found[[split for split in SPLITS if split in found]]


def _class_table(supports: pd.DataFrame, n_folds: int) -> Table:
    """The most frequent of the test rows first."""
    ordered = supports.sort_values("test", ascending=False, kind="stable")
    table = pd.concat([supports.sum().to_frame("all classes").T, ordered])
    shares = table["test"] / supports["test"].sum()
    if n_folds > 1:
        learned = table.columns.drop("test")
        table = table.assign(**(table[learned] / n_folds).round(1))
        names = {name: f"{name}, mean of a fold" for name in learned}
        table = table.rename(columns=names | {"test": "test, all folds"})
    table = table.assign(**{"share of test": shares.map(share)})
    return Table(
        "Utterances by class and split",
        table.rename_axis("class").reset_index(),
        {"share of test": shares.tolist()},
        most_rows=1 + MOST_CLASSES,
        whole="confusion.csv",
    )
