"""The resampled scores against scikit-learn on the drawn rows, and SciPy's bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from speechlasso.evaluation import bootstrap, ranking
from speechlasso.evaluation.bootstrap import (
    N_RESAMPLES,
    TestRows,
    resample_weights,
    resampled_rankings,
    resampled_scores,
    score_sums,
)
from speechlasso.evaluation.scores import evaluate, predictions_frame, scores_of_sums

CLASSES = ["a", "b", "c"]


def made_rows(seed=0, n=40, n_present=3, groups=None, positive_label=None):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"id": range(n), "split": "test", "label": rng.choice(CLASSES[:n_present], n)}
    )
    probabilities = rng.dirichlet(np.ones(3), n)
    frame = predictions_frame(rows, probabilities, CLASSES, cut=rng.random(n) < 0.2)
    return TestRows(frame, groups, positive_label)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 3))
def test_scores_of_drawn_rows_equal_scikit_learn(seed, n, n_present):
    rows = made_rows(seed, n, n_present)
    drawn = np.random.default_rng(seed).integers(n, size=n)
    scores = scores_of_sums(score_sums(rows)[drawn].sum(axis=0)[None], positive=1)
    sample = rows.predictions.iloc[drawn]
    labels, predicted = sample["label"], sample["predicted"]
    present = sorted(set(labels))
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro", zero_division=0),
        "macro_f1_present": metrics.f1_score(
            labels, predicted, labels=present, average="macro", zero_division=0
        ),
        "uar": metrics.recall_score(
            labels, predicted, labels=present, average="macro", zero_division=0
        ),
        "positive_f1": metrics.f1_score(labels == "b", predicted == "b", zero_division=0),
        "loss": metrics.log_loss(labels, sample[["p_a", "p_b", "p_c"]], labels=CLASSES),
        "micro_f1": metrics.f1_score(labels, predicted, average="micro", zero_division=0),
        "weighted_f1": metrics.f1_score(labels, predicted, average="weighted", zero_division=0),
        "ece": evaluate(sample, None)["splits"]["test"]["ece"],
        "cut_share": sample["cut"].mean(),
    }
    assert {name: value.item() for name, value in scores.items()} == pytest.approx(expected)


def test_resamples_together_have_the_scores_that_each_has_alone():
    sums = score_sums(made_rows())
    # The first rows have one or two of the classes only.
    resamples = np.array([sums[:n].sum(axis=0) for n in (1, 2, 3, 5, 40)])
    for name, values in scores_of_sums(resamples, positive=1).items():
        alone = [scores_of_sums(each[None], positive=1)[name].item() for each in resamples]
        assert values.tolist() == pytest.approx(alone), name


def test_all_rows_once_have_the_scores_of_the_evaluation():
    rows = made_rows(positive_label="a")
    found = scores_of_sums(score_sums(rows).sum(axis=0)[None], positive=0)
    expected = evaluate(rows.predictions, "a")["splits"]["test"]
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {name: expected[name] for name in found}
    )


@pytest.mark.parametrize("groups", [None, np.arange(40) % 8])
def test_rankings_of_resamples_equal_those_of_the_rows_they_draw(groups, monkeypatch):
    runs = [made_rows(seed, groups=groups, positive_label="b") for seed in (1, 2)]
    for run in runs[1:]:
        run.predictions["label"] = runs[0].predictions["label"]
    monkeypatch.setattr(bootstrap, "N_RESAMPLES", 20)
    monkeypatch.setattr(bootstrap, "PIECE", 40 * 3)
    monkeypatch.setattr(ranking, "PIECE", 40 * 2)
    found = resampled_rankings(runs)
    units = runs[0].units
    weights = np.concatenate(list(resample_weights(units.max() + 1))).astype(int)[:, units]
    for number, times in enumerate(weights):
        drawn = [run.predictions.loc[np.repeat(np.arange(40), times)] for run in runs]
        pairs = [(rows["label"] == "b", rows["p_b"]) for rows in drawn]
        for name, score in (
            ("average_precision", metrics.average_precision_score),
            ("roc_auc", metrics.roc_auc_score),
        ):
            expected = np.mean([score(*pair) for pair in pairs])
            assert found[name][number] == pytest.approx(expected)
    assert resampled_rankings([made_rows()]) == {}


def test_resamples_without_a_positive_row_have_no_ranking(monkeypatch):
    rows = made_rows(n=12, positive_label="b")
    rows.predictions["label"] = ["b", *"ac" * 5, "b"]
    for name, values in resampled_rankings([rows]).items():
        undefined = np.isnan(values)
        assert 0 < undefined.sum() < N_RESAMPLES / 4, name
        assert ((values[~undefined] >= 0) & (values[~undefined] <= 1)).all()


@pytest.mark.parametrize("groups", [None, np.arange(40) % 8])
def test_the_standard_error_is_that_of_scipys_bootstrap(groups):
    rows = made_rows(groups=groups)
    right = (rows.predictions["label"] == rows.predictions["predicted"]).to_numpy(dtype=float)
    units = right if groups is None else np.array([right[groups == g].mean() for g in range(8)])
    reference = stats.bootstrap(
        (units,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1), method="percentile"
    )
    resampled = resampled_scores([rows])["accuracy"]
    assert resampled.shape == (N_RESAMPLES,)
    assert resampled.std(ddof=1) == pytest.approx(reference.standard_error, rel=0.05)
    assert resampled.mean() == pytest.approx(right.mean(), abs=0.01)


def test_the_score_of_a_resample_is_the_mean_over_seeds():
    runs = [made_rows(seed) for seed in (1, 2, 3)]
    single = [resampled_scores([run]) for run in runs]
    together = resampled_scores(runs)
    for name, values in together.items():
        np.testing.assert_allclose(values, np.mean([of_run[name] for of_run in single], axis=0))


def test_memory_is_bounded_and_pieces_make_the_same_resamples(monkeypatch):
    whole = np.concatenate(list(resample_weights(30)))
    assert whole.shape == (N_RESAMPLES, 30) and (whole.sum(axis=1) == 30).all()
    monkeypatch.setattr(bootstrap, "PIECE", 30 * 300)
    pieces = list(resample_weights(30))
    assert max(len(piece) for piece in pieces) == 300
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_groups_are_drawn_whole_unless_there_is_one():
    groups = np.array(["x", "y", "x", "z", "y"])
    rows = made_rows(n=5, groups=groups)
    assert rows.units.tolist() == [0, 1, 0, 2, 1] and rows.description == "3 groups, 5 rows"
    alone = made_rows(n=5, groups=np.full(5, "x"))
    assert alone.units.tolist() == list(range(5)) and alone.description == "5 rows of one group"
    # Each row with its own group is a row.
    assert made_rows(n=5, groups=np.array(list("abcde"))).description == "5 rows"
    assert made_rows(n=5).description == "5 rows"
