"""Why audio helps: test examples that it mends and breaks, and scores by what rows have in common.

An example is mended where an arm that hears is right and the reference arm is wrong, and broken
where it is the other way round, both by the mean probabilities over their seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from speechlasso.evaluation.tested_arms import RowScores, TestedArm

KINDS = ("mended", "broken")
ERROR_COLUMNS = [
    *("arm", "reference", "kind", "rank", "fold", "id", "group", "text", "label"),
    *("predicted", "probability", "reference_predicted", "reference_probability", "clip"),
]
LENGTH = "length in seconds"
"""In `groups`: quarters of the test rows, from the shortest to the longest utterances."""
MOST_VALUES = 200
"""Of a column: those of most test rows."""


def hearing_arms(
    arms: Mapping[str, TestedArm], reads: Mapping[str, Collection[str]], reference: str
) -> list[TestedArm]:
    """The arms that read audio, but for the reference."""
    return [arm for name, arm in arms.items() if "audio" in reads[name] and name != reference]


def errors_table(
    hearing: Iterable[TestedArm], reference: TestedArm, rows: pd.DataFrame
) -> pd.DataFrame:
    """Test examples that arms mend and break, against a reference.

    Parameters
    ----------
    hearing, reference
        Tested on the same rows.
    rows
        What is known of them, by id: group, text and clip (str) where there are any, and further
        columns to be kept.

    Returns
    -------
    pandas.DataFrame
        `ERROR_COLUMNS` and the further columns. kind is mended or broken; rank, from 1 for each
        arm and kind, counts from the example whose true class gained (mended) or lost (broken) most
        probability against the reference; of equal ones by fold and id. probability and
        reference_probability are of the true class.
    """
    columns = [*ERROR_COLUMNS, *(name for name in rows if name not in ERROR_COLUMNS)]
    parts = [pd.DataFrame(columns=columns)]
    for arm in hearing:
        ours, theirs = _paired(arm, reference)
        pairs = ours.join(theirs[["predicted", "probability"]].add_prefix("reference_"))
        gain = pairs["probability"] - pairs["reference_probability"]
        for kind, sign in zip(KINDS, (1, -1), strict=True):
            found = pairs.assign(kind=kind, gain=sign * gain)[_of_kind(kind, ours, theirs)]
            found = found.sort_values("gain", ascending=False, kind="stable").reset_index()
            found = found.assign(arm=arm.name, reference=reference.name, rank=found.index + 1)
            parts.append(found.join(rows, on="id").reindex(columns=columns))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def errors_by_group(
    hearing: Iterable[TestedArm], reference: TestedArm, groups: pd.DataFrame
) -> pd.DataFrame:
    """Which share of the examples of each group arms mend and break.

    Parameters
    ----------
    groups
        As `group_columns` makes them.

    Returns
    -------
    pandas.DataFrame
        arm, reference, column, value, n (test rows), mended and broken (shares of them).
    """
    rows = []
    for arm in hearing:
        ours, theirs = _paired(arm, reference)
        is_of_kind = [_of_kind(kind, ours, theirs).to_numpy() for kind in KINDS]
        for column, value, inside in _divided(groups.loc[ours.index.get_level_values("id")]):
            shares = [is_kind[inside].mean() for is_kind in is_of_kind]
            rows.append([arm.name, reference.name, column, value, inside.sum(), *shares])
    return pd.DataFrame(rows, columns=["arm", "reference", "column", "value", "n", *KINDS])


def group_columns(
    rows: pd.DataFrame, names: Iterable[str], seconds: pd.Series | None
) -> pd.DataFrame:
    """By what test rows are divided.

    Parameters
    ----------
    rows
        By id.
    names
        Of the columns that divide them; those that the rows lack are left out.
    seconds
        Length of each utterance, by id; None without audio.

    Returns
    -------
    pandas.DataFrame
        By id, these columns, and `LENGTH`: quarters of the rows by length, such as "0.52 to 1.10",
        fewer where many are equally long. Categories, in the order in which to show them.
    """
    named = {name: pd.Categorical(rows[name].astype(str)) for name in names if name in rows}
    table = pd.DataFrame(named, index=rows.index)
    if seconds is None:
        return table
    lengths = seconds.loc[rows.index]
    quarters = pd.qcut(lengths, 4, labels=False, duplicates="drop").fillna(0)
    ends = lengths.groupby(quarters).agg(["min", "max"])
    words = {at: f"{low:.2f} to {high:.2f}" for at, low, high in ends.itertuples()}
    order = list(dict.fromkeys(words.values()))
    return table.assign(**{LENGTH: pd.Categorical(quarters.map(words), order)})


def group_scores(arms: Iterable[TestedArm], groups: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores on the test rows of each group: means over seeds, all folds' rows together.

    Parameters
    ----------
    groups
        As `group_columns` makes them.

    Returns
    -------
    pandas.DataFrame
        arm, column, value, n (test rows), and the metric, empty where it is not defined.
    """
    rows = []
    for arm in arms:
        of_seeds = [
            (RowScores(of_seed, arm.positive_label, metric), groups.loc[of_seed["id"]])
            for of_seed in arm.seeds.values()
        ]
        # Of each group its place in all seeds.
        for places in zip(*(_divided(of_rows) for _, of_rows in of_seeds), strict=True):
            found = [
                scores.of(inside)
                for (scores, _), (_, _, inside) in zip(of_seeds, places, strict=True)
            ]
            column, value, inside = places[0]
            rows.append([arm.name, column, value, inside.sum(), np.mean(found)])
    return pd.DataFrame(rows, columns=["arm", "column", "value", "n", metric])


def _paired(arm: TestedArm, reference: TestedArm) -> tuple[pd.DataFrame, pd.DataFrame]:
    ours = arm.outcomes.sort_index()
    return ours, reference.outcomes.loc[ours.index]


def _of_kind(kind: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.Series:
    right, wrong = (ours, theirs) if kind == "mended" else (theirs, ours)
    return right["right"] & ~wrong["right"]


def _divided(groups: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """Each column, value and which rows have it, bool (n_rows,)."""
    for column in groups:
        counts = groups[column].value_counts()  # the largest first
        most = set(counts[counts > 0].index[:MOST_VALUES])
        for value in groups[column].cat.categories:
            if value in most:
                yield str(column), str(value), (groups[column] == value).to_numpy()
