"""Rows held out of the training rows: whole groups (speakers) where groups are known."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from speechlasso.errors import InputError

logger = logging.getLogger(__name__)

# Divisions tried; the one whose parts have the most alike class shares is taken.
_N_DRAWS = 100


def draw_groups(
    labels: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw whole groups until they have at least this share of the rows, bool, (n_rows,).

    A group that has all that is left of a class is passed over, so that every class stays among the
    other rows; where each group is such a one, none is drawn.
    """
    counted = _ClassesOfGroups.of(labels, groups)
    return counted.draw(share, rng)[counted.group]


@dataclass(frozen=True)
class _ClassesOfGroups:
    """What a draw needs to know of the rows, however many they are.

    Attributes
    ----------
    group
        Number of each row's group, in the order of the groups' names, (n_rows,).
    counts
        Rows of each class in each group, (n_groups, n_classes).
    """

    group: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, groups: np.ndarray) -> _ClassesOfGroups:
        group, names = pd.factorize(groups, sort=True)
        label, classes = pd.factorize(labels)
        shape = len(names), len(classes)
        cells = np.bincount(np.ravel_multi_index((group, label), shape), minlength=np.prod(shape))
        return cls(group, cells.reshape(shape))

    def draw(self, share: float, rng: np.random.Generator) -> np.ndarray:
        """As `draw_groups`, bool, (n_groups,)."""
        chosen = np.zeros(len(self.counts), dtype=bool)
        n_left = self.counts.sum(axis=0)
        n_rows, n_chosen = n_left.sum(), 0
        for group in rng.permutation(len(self.counts)):
            of_group = self.counts[group]
            if (n_left > of_group).all():
                chosen[group] = True
                n_left = n_left - of_group
                n_chosen += of_group.sum()
            if n_chosen / n_rows >= share:
                break
        return chosen


def hold_out(
    labels: np.ndarray, groups: np.ndarray | None, share: float, seed: int, *, setting: str
) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those to fit and those to score, both with every class.

    Whole groups are held out, those of many draws that come closest to `share` in every class.
    Where no draw leaves every class in both parts (one group, or a class that one group alone has),
    single rows are, and a warning says so; so they are where no groups are known.

    Parameters
    ----------
    setting
        Key of the configuration that gave the share, for messages.

    Returns
    -------
    fit, held_out
        Positions, ascending.

    Raises
    ------
    InputError
        When the rows of a class are too few for both parts.
    """
    held_out = None
    if groups is not None:
        held_out = _best_draw(labels, groups, share, np.random.default_rng(seed))
        if held_out is None:
            logger.warning(
                "%s: whole groups cannot be held out, as no division of the %d groups has every "
                "class in both parts; single rows are, of groups that are fitted to as well",
                setting,
                len(np.unique(groups)),
            )
    if held_out is None:
        held_out = _draw_rows(labels, share, seed, setting)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _best_draw(
    labels: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray | None:
    counted = _ClassesOfGroups.of(labels, groups)
    n_of_class = counted.counts.sum(axis=0)
    best, least = None, np.inf
    for _ in range(_N_DRAWS):
        chosen = counted.draw(share, rng)
        n_chosen = counted.counts[chosen].sum(axis=0)
        distance = np.abs(n_chosen / n_of_class - share).sum()
        if n_chosen.all() and distance < least:
            best, least = chosen, distance
    return None if best is None else best[counted.group]


def _draw_rows(labels: np.ndarray, share: float, seed: int, setting: str) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    problem = ""
    try:
        fit, _ = train_test_split(
            np.arange(len(labels)), test_size=share, random_state=seed, stratify=labels
        )
        missing = sorted(set(labels.tolist()) - set(labels[fit].tolist()))
        if missing:
            problem = f"none would be left to fit of class {', '.join(map(repr, missing))}."
    except ValueError as error:
        problem = str(error)
    if problem:
        raise InputError(
            f"{setting}: {len(labels)} training rows cannot be divided so that both parts have "
            f"every class: {problem} Give each class more rows, or hold out a smaller share than "
            f"{share:g}."
        )
    held_out = np.ones(len(labels), dtype=bool)
    held_out[fit] = False
    return held_out
