"""Inner folds: all rows but the test rows, each validated once, no group on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechlasso.data.folds import divide_folds, fold_examples, fold_names, inner_fold_names
from speechlasso.data.settings import Folds
from speechlasso.errors import InputError


def made_manifest(seed: int, n_groups: int, n_classes: int) -> pd.DataFrame:
    """Groups of 1 to 19 rows with classes in uneven shares, and a split that divides no group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), rng.integers(1, 20, n_groups))
    shares = rng.dirichlet(np.full(n_classes, 5.0))
    given_split = rng.permutation(["test", "test", "dev"] + ["train"] * (n_groups - 3))
    return pd.DataFrame(
        {
            "id": [f"u{i}" for i in rng.permutation(len(group))],
            "label": [f"c{i}" for i in rng.choice(n_classes, len(group), p=shares)],
            "group": [f"s{i}" for i in group],
            "split": given_split[group],
        }
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    method=st.sampled_from(["given", "stratified", "grouped", "leave_one_group_out"]),
    seed=st.integers(0, 10_000),
    n_groups=st.integers(5, 12),
    n_classes=st.integers(2, 3),
    n_inner=st.integers(2, 4),
    has_groups=st.booleans(),
)
def test_every_row_but_test_rows_is_validated_once_and_no_group_on_both_sides(
    method, seed, n_groups, n_classes, n_inner, has_groups
):
    manifest = made_manifest(seed, n_groups, n_classes)
    if not has_groups:
        assume(method in ("given", "stratified"))
        manifest = manifest.drop(columns="group")
    folds = Folds(
        method=method, n_folds=3, choose_on="inner_folds", n_inner_folds=n_inner, seed=seed
    )
    try:
        divided = divide_folds(manifest, folds)
    except InputError as error:  # which a fold needs, said of all of them
        assert "inner" in str(error) or "no training row" in str(error) or "n_folds" in str(error)
        assume(False)
    group = manifest.set_index("id").get("group")
    names = fold_names(folds, sorted(manifest.get("group", pd.Series()).unique()))
    assert set(divided["fold"]) == {
        name for outer in names for name in (outer, *inner_fold_names(folds, outer))
    }
    for outer in names:
        rows = fold_examples(manifest, divided, outer).set_index("id")
        assert set(rows["split"]) == {"train", "test"} and len(rows) == len(manifest)
        learned = sorted(rows.index[rows["split"] == "train"])
        validated = []
        for name in inner_fold_names(folds, outer):
            inner = fold_examples(manifest, divided, name).set_index("id")
            assert sorted(inner.index) == learned, "a test row, or not all others"
            assert set(inner["split"]) == {"train", "validation"}
            parts = {split: of_split for split, of_split in inner.groupby("split")}
            assert set(parts["train"]["label"]) == set(rows["label"])
            if group is not None and method != "stratified":
                sides = [set(group[part.index]) for part in parts.values()]
                assert not sides[0] & sides[1]
            validated += parts["validation"].index.tolist()
        assert sorted(validated) == learned


def inner_folds(manifest: pd.DataFrame, **options) -> pd.DataFrame:
    return divide_folds(manifest, Folds(choose_on="inner_folds", **options))


def even_manifest(n_groups: int = 6, per_group: int = 12) -> pd.DataFrame:
    n = n_groups * per_group
    return pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "label": [f"c{i % 3}" for i in range(n)],
            "group": [f"s{i // per_group}" for i in range(n)],
        }
    )


def test_validation_rows_of_a_given_split_learn_as_well():
    manifest = even_manifest()
    manifest["split"] = manifest["group"].map(lambda name: {"s4": "dev", "s5": "test"}.get(name))
    manifest["split"] = manifest["split"].fillna("train")
    outer = inner_folds(manifest, n_inner_folds=5).query("fold == 'given'")
    assert outer["split"].value_counts().to_dict() == {"train": 60, "test": 12}


def test_parts_have_alike_class_shares_and_a_seed_draws_them():
    one, again, other = (
        inner_folds(even_manifest(), method="stratified", n_folds=2, seed=seed)
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)
    counts = one.merge(even_manifest(), on="id").groupby(["fold", "split", "label"]).size()
    counts = counts.unstack()
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "leave_one_group_out", "n_inner_folds": 6},
            "fold s0: dataset.folds.n_inner_folds: 6 inner folds need as many groups, but there "
            "are 5",
        ),
        (
            {"method": "stratified", "n_folds": 2, "n_inner_folds": 13},
            "fold 0: dataset.folds.n_inner_folds: 13 inner folds need as many rows in the smallest "
            "class, but there are 12",
        ),
    ],
)
def test_too_few_groups_or_rows_are_told_of_all_folds(options, message):
    with pytest.raises(InputError) as error:
        inner_folds(even_manifest(), **options)
    assert message in str(error.value)
    assert str(error.value).count("n_inner_folds") == (6 if "s0" in message else 2)


def test_a_class_that_one_group_alone_has_cannot_be_validated():
    manifest = even_manifest()
    manifest.loc[manifest.index[:3], "label"] = "rare"
    manifest.loc[manifest.index[-1], "label"] = "rare"
    with pytest.raises(InputError, match=r"fold s5 inner \d: label 'rare' has no training row"):
        inner_folds(manifest, method="leave_one_group_out", n_inner_folds=3)


def test_many_small_groups_without_enough_rows_of_any_class_are_told_too():
    manifest = even_manifest(n_groups=6, per_group=1)
    with pytest.raises(InputError, match="3 folds need as many rows in the largest class, but"):
        divide_folds(manifest, Folds(method="grouped", n_folds=3))


def test_what_is_not_read_changes_no_key():
    rows = Folds(validation_share=0.2, n_inner_folds=7).as_read()
    assert rows == Folds(validation_share=0.2)
    inner = Folds(choose_on="inner_folds", validation_share=0.2, n_inner_folds=7)
    assert inner.as_read() == Folds(choose_on="inner_folds", n_inner_folds=7)
    assert inner.chosen_on == "7 inner folds" and rows.chosen_on == "validation rows"
