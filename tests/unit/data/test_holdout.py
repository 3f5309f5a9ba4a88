"""What is held out: whole groups, and never the last rows of a class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlasso.data.holdout import hold_out
from speechlasso.errors import InputError


def held_out(labels, groups, share=0.2, seed=0):
    return hold_out(np.array(labels), groups, share, seed, setting="holdout")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 12), st.floats(0.1, 0.8))
def test_groups_stay_whole_and_every_class_is_in_both_parts(seed, n_groups, share):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.repeat(f"s{g}", rng.integers(6, 20)) for g in range(n_groups)])
    labels = np.concatenate([np.arange((groups == g).sum()) % 3 for g in np.unique(groups)])
    fit, rest = held_out(labels, groups, share, seed)
    assert sorted([*fit, *rest]) == list(range(len(labels)))
    assert not set(groups[fit]) & set(groups[rest])
    assert set(labels[fit]) == set(labels[rest]) == {0, 1, 2}
    largest = max(np.unique(groups, return_counts=True)[1]) / len(groups)
    assert abs(len(rest) / len(labels) - share) <= max(largest, 2 * (1 - share) / n_groups)


def test_a_class_of_two_groups_is_in_both_parts():
    groups = np.repeat([f"s{g}" for g in range(10)], 6)
    labels = np.where(np.isin(groups, ["s3", "s8"]), "rare", "usual")
    labels[::6] = "usual"
    fit, rest = held_out(labels, groups)
    assert "rare" in labels[fit] and "rare" in labels[rest]


def test_where_groups_cannot_be_divided_rows_are_and_a_warning_says_so(caplog):
    labels = np.tile(["x", "y"], 20)
    for groups in (np.repeat("one", 40), np.where(labels == "x", "a", "b")):
        caplog.clear()
        fit, rest = held_out(labels, groups)
        assert (len(fit), len(rest)) == (32, 8)
        assert "whole groups cannot be held out" in caplog.text


@pytest.mark.parametrize("share", [0.8, 0.85, 0.89])
def test_a_rare_class_is_never_lost_to_the_held_out_rows(share):
    labels = ["x"] * 40 + ["y"] * 40 + ["rare"] * 2
    try:
        fit, _ = held_out(labels, None, share)
    except InputError as error:
        assert "none would be left to fit of class 'rare'" in str(error)
        assert "hold out a smaller share" in str(error)
    else:
        assert "rare" in np.array(labels)[fit]
    with pytest.raises(InputError, match="cannot be divided so that both parts have every class"):
        held_out([*labels, "single"], None, share)


def test_the_same_seed_holds_out_the_same_rows():
    labels, groups = np.arange(60) % 2, np.arange(60) // 6
    first, again, other = (held_out(labels, groups, seed=seed)[1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
