"""Rows held out of the training rows: whole groups (speakers) where groups are known."""

from __future__ import annotations

import logging

import numpy as np

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
    chosen = np.zeros(len(groups), dtype=bool)
    n_classes = len(np.unique(labels))
    for group in rng.permutation(np.unique(groups)):
        more = chosen | (groups == group)
        if len(np.unique(labels[~more])) == n_classes:
            chosen = more
        if chosen.mean() >= share:
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
    classes, codes = np.unique(labels, return_inverse=True)
    n_of_class = np.bincount(codes)
    best, least = None, np.inf
    for _ in range(_N_DRAWS):
        chosen = draw_groups(labels, groups, share, rng)
        n_chosen = np.bincount(codes[chosen], minlength=len(classes))
        distance = np.abs(n_chosen / n_of_class - share).sum()
        if n_chosen.all() and distance < least:
            best, least = chosen, distance
    return best


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
