"""Folds: which utterances train, validate and test.

A fold divides the manifest into train, validation and test; the validation part is always taken
from what would train. With `choose_on: inner_folds` nothing is: a fold has training and test rows,
and beside it stand inner folds, which divide its training rows into train and validation and do
without its test rows. Where there are groups (speakers), no group is in two parts of a fold, unless
the table's own split or `stratified`, which divides rows one by one, has put it there.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from speechlasso.data.holdout import draw_groups
from speechlasso.data.settings import Folds
from speechlasso.errors import InputError
from speechlasso.section import SPLITS

logger = logging.getLogger(__name__)

GIVEN_FOLD = "given"
_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}


def fold_names(folds: Folds, groups: Sequence[str] = ()) -> list[str]:
    """Names of the folds to run: "given", "0", "1", ..., or the groups left out.

    Raises
    ------
    InputError
        When `folds.only` names a fold that does not exist, or there are too few groups.
    """
    if folds.method == "given":
        names = [GIVEN_FOLD]
    elif folds.method == "leave_one_group_out":
        _check_groups(groups, folds)
        names = list(groups)
    else:
        names = [str(index) for index in range(folds.n_folds)]
    if folds.only is None:
        return names
    unknown = [name for name in folds.only if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InputError(
            f"dataset.folds.only: no fold is named {unknown[0]!r}{hint} Folds: {', '.join(names)}"
        )
    return list(dict.fromkeys(folds.only))


def inner_fold_names(folds: Folds, fold: str) -> list[str]:
    """Names of the inner folds of a fold; none where validation rows choose."""
    n = folds.n_inner_folds if folds.has_inner_folds else 0
    return [f"{fold} inner {number}" for number in range(n)]


def divide_folds(manifest: pd.DataFrame, folds: Folds) -> pd.DataFrame:
    """Assign every utterance to a part of every fold, and all but its test rows to inner folds.

    Parameters
    ----------
    manifest
        Columns id, label and, as the method needs them, split and group.

    Returns
    -------
    pandas.DataFrame
        fold, id, split; n_folds x n_utterances rows, and those of inner folds.

    Raises
    ------
    InputError
        When a part would be empty, a class has no training row, training rows have one class only
        or cannot be divided into inner folds, for all folds at once.
    """
    in_groups = _in_groups(manifest, folds)
    divided, problems = [], []
    for name, split in _divisions(manifest, folds):
        if folds.has_inner_folds:
            split = np.where(split == "validation", "train", split)
            outer = _Fold(name, manifest, split, ("train", "test"))
            inner, few = _inner_folds(outer, folds, in_groups)
            divided += [outer, *inner]
            problems += few
        else:
            divided.append(_Fold(name, manifest, _with_validation(manifest, split, folds, name)))
    problems += [problem for fold in divided for problem in _fold_problems(fold, in_groups)]
    if problems:
        raise InputError.listing(
            "These folds cannot be used:",
            problems,
            "Correct the labels, or choose other dataset.folds settings.",
        )
    _warn_of_divided_groups(divided)
    return pd.concat([fold.table for fold in divided], ignore_index=True)


def fold_examples(manifest: pd.DataFrame, folds: pd.DataFrame, fold: str) -> pd.DataFrame:
    """The manifest with the split of one fold, joined by id; columns as in the manifest.

    An inner fold has no test rows: those of the fold around it are left out.
    """
    split = folds.loc[folds["fold"] == fold, ["id", "split"]]
    return manifest.drop(columns="split", errors="ignore").merge(split, on="id", validate="1:1")


@dataclass(frozen=True)
class _Fold:
    """A named division of rows: the split of each, (n_rows,), and the parts that it has."""

    name: str
    rows: pd.DataFrame
    split: np.ndarray
    parts: tuple[str, ...] = SPLITS

    @property
    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"fold": self.name, "id": self.rows["id"], "split": self.split})


def _divisions(manifest: pd.DataFrame, folds: Folds) -> Iterator[tuple[str, np.ndarray]]:
    """Each fold's name and its (n_utterances,) array of split names, yet without validation."""
    if folds.method == "given":
        yield GIVEN_FOLD, _given_split(manifest)
    elif folds.method == "leave_one_group_out":
        _check_groups(manifest["group"].unique(), folds)
        for group in sorted(manifest["group"].unique()):
            yield group, np.where(manifest["group"] == group, "test", "train")
    else:
        in_groups = folds.method == "grouped"
        if in_groups:
            _check_groups(manifest["group"].unique(), folds)
        if few := _too_few(manifest, folds.n_folds, in_groups):
            raise InputError(
                f"dataset.folds.n_folds: {folds.n_folds} folds need as many {few}; lower it"
            )
        parts = _parts(manifest, folds.n_folds, folds.seed, in_groups)
        for index, test in enumerate(parts):
            yield str(index), _with_part(manifest, test, "test")


def _inner_folds(outer: _Fold, folds: Folds, in_groups: bool) -> tuple[list[_Fold], list[str]]:
    """Inner folds of a fold, which validate each of its training rows once; or what is wrong."""
    rows = outer.rows[outer.split == "train"].reset_index(drop=True)
    names = inner_fold_names(folds, outer.name)
    if few := _too_few(rows, len(names), in_groups):
        key = "dataset.folds.n_inner_folds"
        return [], [f"fold {outer.name}: {key}: {len(names)} inner folds need as many {few}"]
    # Each fold draws on its own, and the same whichever folds run beside it.
    seed = np.random.SeedSequence([folds.seed, *outer.name.encode()]).generate_state(1).item()
    parts = _parts(rows, len(names), seed, in_groups)
    return [
        _Fold(name, rows, _with_part(rows, part, "validation"), ("train", "validation"))
        for name, part in zip(names, parts, strict=True)
    ], []


def _parts(rows: pd.DataFrame, n: int, seed: int, in_groups: bool) -> Iterator[np.ndarray]:
    """Positions of n parts with alike class shares, made of whole groups or of single rows."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind, groups = (StratifiedGroupKFold, rows["group"]) if in_groups else (StratifiedKFold, None)
    divider = kind(n, shuffle=True, random_state=seed)
    return (part for _, part in divider.split(rows, rows["label"], groups))


def _with_part(rows: pd.DataFrame, part: np.ndarray, name: str) -> np.ndarray:
    split = np.full(len(rows), "train", dtype=object)
    split[part] = name
    return split


def _given_split(manifest: pd.DataFrame) -> np.ndarray:
    split = manifest["split"].str.lower().replace(_ALIASES)
    unknown = ~split.isin(SPLITS)
    if unknown.any():
        rows = [f"{row.id}: {row.split!r}" for row in manifest[unknown].itertuples()]
        raise InputError.listing(
            f"{unknown.sum()} rows have an unknown split:", rows, f"Use {', '.join(SPLITS)}."
        )
    return split.to_numpy(dtype=object)


def _too_few(rows: pd.DataFrame, n: int, in_groups: bool) -> str:
    """Of what there is less than n parts need, and how much there is; empty if all suffices."""
    of_class = rows["label"].value_counts()
    counts = {"rows in the smallest class": of_class.min()}
    if in_groups:
        counts = {"groups": rows["group"].nunique(), "rows in the largest class": of_class.max()}
    few = (f"{what}, but there are {count}" for what, count in counts.items() if count < n)
    return next(few, "")


def _check_groups(groups: Sequence[str], folds: Folds) -> None:
    if len(groups) < 3:
        raise InputError(
            f"dataset.folds.method: {folds.method} needs at least three groups: one to test, one "
            f"to validate and one to train, but there are {len(groups)} "
            f"({', '.join(sorted(groups))}). Use method: stratified, which divides rows whatever "
            "their group, or method: given with a split of your own."
        )


def _with_validation(
    manifest: pd.DataFrame, split: np.ndarray, folds: Folds, name: str
) -> np.ndarray:
    """Move `validation_share` of the training rows to validation, unless the split has some."""
    if (split == "validation").any():
        return split
    training = np.flatnonzero(split == "train")
    # Each fold draws on its own, and the same whichever folds run beside it.
    rng = np.random.default_rng([folds.seed, *name.encode()])
    labels = manifest["label"].to_numpy()[training]
    if _in_groups(manifest, folds):
        groups = manifest["group"].to_numpy()[training]
        chosen = draw_groups(labels, groups, folds.validation_share, rng)
    else:
        chosen = _stratified(labels, folds.validation_share, rng)
    split = split.astype(object)
    split[training[chosen]] = "validation"
    return split


def _in_groups(manifest: pd.DataFrame, folds: Folds) -> bool:
    """Whether validation rows are whole groups; `stratified` divides rows as its test rows are."""
    return "group" in manifest and folds.method != "stratified"


def _stratified(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        # A class keeps at least one training row.
        n_chosen = min(max(1, round(share * len(rows))), len(rows) - 1)
        chosen[rows[:n_chosen]] = True
    return chosen


def _fold_problems(fold: _Fold, in_groups: bool) -> Iterator[str]:
    name, manifest, split = fold.name, fold.rows, fold.split
    for part in fold.parts:
        if not (split == part).any():
            spared = fold.parts == SPLITS and part == "validation" and in_groups
            why = ": no group can be spared without losing the last training rows of a class"
            yield f"fold {name}: there are no {part} rows{why if spared else ''}"
    trained = set(manifest["label"][split == "train"])
    if len(trained) == 1:
        yield (
            f"fold {name}: all training rows have the label {trained.copy().pop()!r}; a classifier "
            "needs rows of two classes or more"
        )
    unseen = manifest[~manifest["label"].isin(trained)]
    for label, rows in unseen.groupby("label"):
        ids = ", ".join(rows["id"].head(3)) + (", ..." if len(rows) > 3 else "")
        parts = " and ".join(sorted(set(split[rows.index])))
        yield (
            f"fold {name}: label {label!r} has no training row, but {len(rows)} in {parts} ({ids})"
        )


def _warn_of_divided_groups(folds: Sequence[_Fold]) -> None:
    if "group" not in folds[0].rows:
        return
    n_parts = [
        pd.Series(fold.split).groupby(fold.rows["group"].to_numpy()).nunique() for fold in folds
    ]
    divided = pd.concat(n_parts).loc[lambda n: n > 1].index.unique()
    if len(divided):
        logger.warning(
            "%d groups (%s) are in several parts of a fold: scores may be flattered by groups that "
            "training rows have as well",
            len(divided),
            ", ".join(map(str, divided[:5])) + (", ..." if len(divided) > 5 else ""),
        )
