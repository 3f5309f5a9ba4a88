"""Errors that audio mends and makes, and scores by group, against plain loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from speechlasso.evaluation import errors_by_arm
from speechlasso.evaluation.errors_by_arm import (
    ERROR_COLUMNS,
    LENGTH,
    errors_by_group,
    errors_table,
    group_columns,
    group_scores,
    hearing_arms,
)
from speechlasso.evaluation.reference import reference_arm
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.tested_arms import read_arms
from speechlasso.files import write_json, write_parquet

CLASSES = ["calm", "sad", "tense"]
N_ROWS, FOLDS, SEEDS = 60, ["01", "02"], [3, 5]
READS = {"bow": ["audio", "text"], "text_only": ["text"], "lasso": ["audio", "text"]}


@pytest.fixture
def drawn(tmp_path):
    """An index of three arms, and their probabilities; each fold tests every other row."""
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"id": [f"u{number}" for number in rng.permutation(N_ROWS)]})
    rows["label"] = rng.choice(CLASSES, N_ROWS)
    write_json(tmp_path / "fit/training.json", {})
    write_json(tmp_path / "evaluate/spec.json", {"settings": {"positive_label": None}})
    index, probabilities = [], {}
    for arm in READS:
        for number, fold in enumerate(FOLDS):
            is_tested = np.arange(N_ROWS) % 2 == number
            split = np.where(is_tested, "test", "train")
            for seed in SEEDS:
                drawn = rng.dirichlet([1, 1, 1], N_ROWS)
                # An arm's rows in an order of their own.
                order = rng.permutation(N_ROWS)
                frame = predictions_frame(rows.assign(split=split), drawn, CLASSES).iloc[order]
                folder = f"{arm}-{fold}-{seed}"
                write_parquet(tmp_path / folder / "predictions.parquet", frame)
                run = {"arm": arm, "fold": fold, "seed": seed, "predictions": folder}
                index.append({**run, "training": "fit", "evaluation": "evaluate"})
                probabilities[arm, fold, seed] = drawn[is_tested]
    rows["fold"] = np.resize(FOLDS, N_ROWS)
    return index, rows, probabilities


def seed_means(rows, probabilities, arm):
    """Decision, and probability of the true class, by id."""
    found = {}
    for fold in FOLDS:
        mean = np.mean([probabilities[arm, fold, seed] for seed in SEEDS], axis=0)
        of_fold = rows[rows["fold"] == fold]
        for row, values in zip(of_fold.itertuples(), mean, strict=True):
            found[row.id] = CLASSES[values.argmax()], values[CLASSES.index(row.label)]
    return found


def test_every_error_and_its_rank(drawn, tmp_path):
    index, rows, probabilities = drawn
    arms = read_arms(index, tmp_path)
    reference = reference_arm(READS)
    assert reference == "text_only"
    hearing = hearing_arms(arms, READS, reference)
    known = rows.set_index("id")[[]].assign(text="said", clip="a.wav", source="words")
    table = errors_table(hearing, arms[reference], known)
    assert list(table) == [*ERROR_COLUMNS, "source"]
    expected = []
    theirs = seed_means(rows, probabilities, reference)
    for arm in ("bow", "lasso"):
        ours = seed_means(rows, probabilities, arm)
        for kind, sign in (("mended", 1), ("broken", -1)):
            found = []
            for row in rows.itertuples():
                right, other = ours[row.id][0] == row.label, theirs[row.id][0] == row.label
                if right != other and right == (kind == "mended"):
                    gain = sign * (ours[row.id][1] - theirs[row.id][1])
                    found.append((-gain, row.fold, row.id, *ours[row.id], *theirs[row.id]))
            assert len(found) > 3
            expected += [
                (arm, kind, rank, *found) for rank, (_, *found) in enumerate(sorted(found), 1)
            ]
    columns = ["arm", "kind", "rank", "fold", "id", "predicted", "probability"]
    columns += ["reference_predicted", "reference_probability"]
    assert [tuple(row) for row in table[columns].to_numpy()] == [
        (*texts, predicted, pytest.approx(own), other, pytest.approx(of_other))
        for *texts, predicted, own, other, of_other in expected
    ]
    assert (table["reference"] == "text_only").all() and (table["source"] == "words").all()


def test_shares_and_scores_of_groups(drawn, tmp_path):
    index, rows, probabilities = drawn
    arms = read_arms(index, tmp_path)
    by_id = rows.set_index("id", drop=False)
    by_id["group"] = np.resize(["s2", "s1", "s10"], N_ROWS)
    groups = group_columns(by_id, ["group", "language"], None)
    assert list(groups) == ["group"]
    scores = group_scores(arms.values(), groups, "macro_f1")
    assert scores["value"].tolist() == ["s1", "s10", "s2"] * 3
    shares = errors_by_group([arms["lasso"]], arms["text_only"], groups).set_index("value")
    errors = errors_table([arms["lasso"]], arms["text_only"], by_id[["group"]])
    for value in ("s1", "s2", "s10"):
        inside = rows["id"].isin(by_id.index[by_id["group"] == value]).to_numpy()
        found = []
        for seed in SEEDS:
            predicted = np.empty(N_ROWS, dtype=object)
            for fold in FOLDS:
                decided = probabilities["bow", fold, seed].argmax(axis=1)
                predicted[rows["fold"] == fold] = np.array(CLASSES)[decided]
            found.append(f1_score(rows["label"][inside], predicted[inside], average="macro"))
        of_bow = scores[(scores["arm"] == "bow") & (scores["value"] == value)]
        assert of_bow["n"].item() == inside.sum() == shares.loc[value, "n"]
        assert of_bow["macro_f1"].item() == pytest.approx(np.mean(found))
        for kind in ("mended", "broken"):
            counted = ((errors["kind"] == kind) & (errors["group"] == value)).sum()
            assert shares.loc[value, kind] == pytest.approx(counted / inside.sum())


def test_quarters_of_the_lengths():
    seconds = pd.Series([0.5, 4.0, 1.0, 2.0, 3.0, 6.0, 5.0, 7.0], index=list("abcdefgh"))
    rows = pd.DataFrame(index=seconds.index[::-1])
    found = group_columns(rows, [], seconds)[LENGTH]
    assert found.cat.categories.tolist() == [
        *("0.50 to 1.00", "2.00 to 3.00", "4.00 to 5.00", "6.00 to 7.00")
    ]
    assert found["a"] == "0.50 to 1.00" and found["f"] == "6.00 to 7.00"
    alike = group_columns(rows, [], seconds * 0 + 2)[LENGTH]
    assert alike.tolist() == ["2.00 to 2.00"] * 8


def test_a_column_of_very_many_values_shows_those_of_most_rows(drawn, tmp_path, monkeypatch):
    index, rows, _ = drawn
    arm = read_arms(index, tmp_path)["bow"]
    rooms = pd.Categorical([*("z" * 10), *("y" * 20), *map(str, range(N_ROWS - 30))])
    groups = pd.DataFrame({"room": rooms}, index=rows["id"])
    assert len(group_scores([arm], groups, "accuracy")) == 32
    monkeypatch.setattr(errors_by_arm, "MOST_VALUES", 2)
    assert group_scores([arm], groups, "accuracy")["value"].tolist() == ["y", "z"]


def test_without_an_arm_that_reads_text_alone_the_first_is_the_reference(drawn, tmp_path):
    reads = {"bow": ["audio", "text"], "audio_only": ["audio"]}
    assert reference_arm(reads) == "bow"
    assert reference_arm(reads, "audio_only") == "audio_only"
    swept = {"bow": ["text"], "bow_all": ["text"], "x[alpha=1]": ["text"], "x[alpha=2]": ["text"]}
    assert [reference_arm(swept, name) for name in (None, "bow_all", "x")] == [*swept][:3]
    arms = read_arms(drawn[0], tmp_path)
    assert hearing_arms({"bow": arms["bow"]}, reads, "bow") == []
    assert errors_table([], arms["bow"], pd.DataFrame()).columns.tolist() == ERROR_COLUMNS
