"""Folds: every utterance in one part, no group in two, the same draw each time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlasso.data.folds import divide_folds, fold_examples, fold_names
from speechlasso.data.settings import Folds
from speechlasso.errors import InputError


def make_manifest(n_groups=6, per_group=12, n_classes=3):
    n = n_groups * per_group
    return pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "label": [f"c{i % n_classes}" for i in range(n)],
            "group": [f"s{i // per_group}" for i in range(n)],
        }
    )


METHODS = ["stratified", "grouped", "leave_one_group_out"]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 0.3))
def test_each_fold_divides_all_utterances(method, seed, share):
    manifest = make_manifest()
    folds = divide_folds(
        manifest, Folds(method=method, n_folds=3, validation_share=share, seed=seed)
    )
    for _, fold in folds.groupby("fold"):
        assert sorted(fold["id"]) == sorted(manifest["id"])
        assert set(fold["split"]) == {"train", "validation", "test"}
    tests = folds[folds["split"] == "test"]
    assert sorted(tests["id"]) == sorted(manifest["id"]), "each utterance is tested once"


@pytest.mark.parametrize("method", ["grouped", "leave_one_group_out"])
def test_no_group_is_in_two_parts(method):
    manifest = make_manifest()
    folds = divide_folds(manifest, Folds(method=method, n_folds=3)).merge(manifest, on="id")
    assert (folds.groupby(["fold", "group"])["split"].nunique() == 1).all()


def test_stratified_parts_keep_the_class_shares():
    manifest = make_manifest(per_group=50)
    folds = divide_folds(manifest, Folds(method="stratified", n_folds=4)).merge(manifest, on="id")
    counts = folds.groupby(["fold", "split", "label"]).size().unstack()
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 2


def test_same_seed_same_folds_other_seed_others():
    manifest = make_manifest()
    one, again, other = (
        divide_folds(manifest, Folds(method="stratified", seed=seed)) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)


def test_given_splits_are_kept_and_lack_of_validation_is_made_up():
    manifest = make_manifest().drop(columns="group")
    manifest["split"] = np.where(manifest.index < 60, "train", "test")
    folds = divide_folds(manifest, Folds(validation_share=0.2))
    assert set(folds["fold"]) == {"given"}
    assert folds["split"].value_counts().to_dict() == {"train": 48, "validation": 12, "test": 12}
    manifest.loc[:5, "split"] = "dev"
    kept = divide_folds(manifest, Folds())
    assert (kept["split"] == "validation").sum() == 6


def test_an_unknown_split_is_an_error():
    manifest = make_manifest()
    manifest["split"] = "train"
    manifest.loc[3, "split"] = "tset"
    with pytest.raises(InputError, match="u3: 'tset'"):
        divide_folds(manifest, Folds())


def test_a_class_without_training_rows_is_an_error_that_names_all_of_them():
    manifest = make_manifest()
    manifest["split"] = ["train"] * 40 + ["validation"] * 16 + ["test"] * 16
    manifest.loc[70, "label"] = "only in test"
    manifest.loc[50, "label"] = "only in validation"
    with pytest.raises(InputError) as caught:
        divide_folds(manifest, Folds())
    message = str(caught.value)
    assert "label 'only in test' has no training row, but 1 in test (u70)" in message
    assert "label 'only in validation' has no training row, but 1 in validation (u50)" in message


def test_a_split_without_test_rows_is_an_error():
    manifest = make_manifest().assign(split="train")
    with pytest.raises(InputError, match="there are no test rows"):
        divide_folds(manifest, Folds())


def test_too_few_groups_is_an_error():
    with pytest.raises(InputError, match="5 folds need as many groups, but there are 4"):
        divide_folds(make_manifest(n_groups=4), Folds(method="grouped", n_folds=5))


def test_fold_names():
    assert fold_names(Folds()) == ["given"]
    assert fold_names(Folds(method="stratified", n_folds=3)) == ["0", "1", "2"]
    assert fold_names(Folds(method="stratified", n_folds=3, only=["2"])) == ["2"]


def test_examples_are_joined_by_id_not_by_position():
    manifest = make_manifest().assign(split="ignored")
    folds = divide_folds(manifest.drop(columns="split"), Folds(method="stratified"))
    shuffled = folds.sample(frac=1, random_state=1)
    joined = fold_examples(manifest, shuffled, "0")
    assert joined["id"].tolist() == manifest["id"].tolist()
    expected = folds[folds["fold"] == "0"].set_index("id")["split"]
    assert joined.set_index("id")["split"].equals(expected.loc[manifest["id"]])


def given_split(**changes):
    manifest = make_manifest()
    manifest["split"] = np.where(manifest["group"].isin(["s4", "s5"]), "test", "train")
    return manifest.assign(**changes)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 0.3))
def test_validation_rows_of_a_given_split_are_whole_groups_too(seed, share):
    manifest = given_split()
    folds = divide_folds(manifest, Folds(validation_share=share, seed=seed)).merge(
        manifest[["id", "group"]], on="id"
    )
    assert (folds.groupby("group")["split"].nunique() == 1).all()
    validation = folds.loc[folds["split"] == "validation", "group"].unique()
    assert len(validation) == (1 if share <= 0.25 else 2)


@pytest.mark.parametrize("method", ["given", "leave_one_group_out"])
def test_a_group_that_alone_has_a_class_is_not_spared_for_validation(method):
    manifest = given_split()
    only = manifest["group"] == "s0"
    manifest.loc[only & (manifest.index % 4 == 0), "label"] = "rare"
    manifest.loc[manifest.index[-1], "label"] = "rare"
    if method == "leave_one_group_out":
        manifest.loc[manifest["group"].isin(["s0", "s5"]), "label"] = "rare"
    for seed in range(20):
        folds = divide_folds(manifest, Folds(method=method, seed=seed)).merge(manifest, on="id")
        rare = folds[(folds["label"] == "rare") & (folds["split_x"] == "train")]
        assert rare["fold"].nunique() == folds["fold"].nunique()


def test_one_training_group_cannot_be_divided_and_the_message_says_why():
    manifest = given_split(group="s0")
    with pytest.raises(InputError, match="no validation rows: no group can be spared"):
        divide_folds(manifest, Folds())


@pytest.mark.parametrize("method", ["grouped", "leave_one_group_out"])
def test_two_groups_are_too_few_and_the_message_says_what_to_do(method):
    folds = Folds(method=method, n_folds=2)
    with pytest.raises(InputError, match=r"three groups: .* are 2 \(s0, s1\)\. Use method: s"):
        divide_folds(make_manifest(n_groups=2), folds)
    if method == "leave_one_group_out":
        with pytest.raises(InputError, match="at least three groups"):
            fold_names(folds, ["s0", "s1"])


def test_training_rows_of_one_class_are_refused():
    for manifest in (make_manifest(n_classes=1), given_split(label="same")):
        method = "given" if "split" in manifest else "grouped"
        with pytest.raises(InputError, match="all training rows have the label '(c0|same)'"):
            divide_folds(manifest, Folds(method=method))


def test_groups_that_a_split_divides_are_told(caplog):
    divide_folds(given_split(), Folds())
    assert not caplog.records
    manifest = given_split()
    manifest.loc[0, "split"] = "test"
    divide_folds(manifest, Folds())
    assert "1 groups (s0) are in several parts" in caplog.text


def test_a_fold_that_does_not_exist_is_an_error_that_names_the_nearest():
    speakers = Folds(method="leave_one_group_out", only=["anna", "bem", "x"])
    with pytest.raises(InputError) as caught:
        fold_names(speakers, ["anna", "ben", "carl", "bert"])
    expected = "no fold is named 'bem'; did you mean 'ben'? Folds: anna, ben, carl, bert"
    assert str(caught.value) == f"dataset.folds.only: {expected}"
    numbered = Folds(method="stratified", n_folds=2, only=["first"])
    with pytest.raises(InputError, match=r"no fold is named 'first'\. Folds: 0, 1$"):
        fold_names(numbered)
    assert fold_names(Folds(method="stratified", n_folds=3, only=["2", "0", "2"])) == ["2", "0"]


def test_splits_have_several_names():
    manifest = make_manifest().drop(columns="group")
    manifest["split"] = ["Train"] * 60 + ["val", "valid", "DEV", "validation"] + ["test"] * 8
    counts = divide_folds(manifest, Folds())["split"].value_counts().to_dict()
    assert counts == {"train": 60, "validation": 4, "test": 8}


@pytest.mark.parametrize(("n_rare", "n_validation"), [(1, 0), (2, 1), (3, 1), (30, 6)])
def test_a_class_gives_its_share_to_validation_but_not_all_nor_none(n_rare, n_validation):
    labels = ["usual"] * 50 + ["rare"] * n_rare
    manifest = pd.DataFrame({"label": [*labels, "usual"]})
    manifest["id"] = manifest.index.astype(str)
    manifest["split"] = ["train"] * len(labels) + ["test"]
    folds = divide_folds(manifest, Folds(validation_share=0.2)).merge(manifest, on="id")
    counts = folds[folds["split_x"] == "validation"]["label"].value_counts()
    assert counts.get("rare", 0) == n_validation
    assert counts["usual"] == 10


def test_as_many_groups_and_rows_of_a_class_as_folds_are_enough():
    grouped = divide_folds(make_manifest(n_groups=4), Folds(method="grouped", n_folds=4))
    assert grouped["fold"].nunique() == 4
    few = make_manifest(n_groups=1, per_group=12)  # four rows of each class
    rows = divide_folds(few, Folds(method="stratified", n_folds=4))
    assert rows["fold"].nunique() == 4
    with pytest.raises(InputError, match="5 folds need as many rows in the smallest class, but"):
        divide_folds(few, Folds(method="stratified", n_folds=5))


def test_folds_draw_their_validation_rows_apart_and_whatever_runs_beside_them():
    manifest = make_manifest().drop(columns="group")
    folds = divide_folds(manifest, Folds(method="stratified", n_folds=2, validation_share=0.2))
    # By position among the training rows, so that the test rows make no difference.
    drawn = [
        np.flatnonzero(fold.loc[fold["split"] != "test", "split"] == "validation").tolist()
        for _, fold in folds.groupby("fold")
    ]
    assert drawn[0] != drawn[1]


def test_long_lists_in_messages_end_early(caplog):
    manifest = make_manifest(n_groups=8).drop(columns="group")
    manifest["split"] = ["train"] * 60 + ["validation"] * 24 + ["test"] * 12
    for n, listed in ((3, r"\(u84, u85, u86\)"), (4, r"\(u84, u85, u86, \.\.\.\)")):
        manifest.loc[84 : 83 + n, "label"] = "unseen"
        with pytest.raises(InputError, match=f"but {n} in test {listed}"):
            divide_folds(manifest, Folds())
    for n, listed in ((5, "(s0, s1, s2, s3, s4) are"), (6, "(s0, s1, s2, s3, s4, ...) are")):
        manifest = make_manifest(n_groups=8)
        manifest["split"] = np.tile(["train"] * 6 + ["validation"] * 3 + ["test"] * 3, 8)
        manifest.loc[12 * n :, "split"] = "train"
        caplog.clear()
        divide_folds(manifest, Folds())
        assert f"{n} groups {listed} in several parts" in caplog.text
