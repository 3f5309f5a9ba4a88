"""Late fusion against scikit-learn's scores of every weighting."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from speechlasso.errors import InputError
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.systems import late_fusion_model
from speechlasso.systems.late_fusion import LateFusion
from speechlasso.systems.late_fusion_model import ArmPredictions, best_weights, weight_grid

CLASSES = ["no", "perhaps", "yes"]
N = 60
UTILITIES = {
    "accuracy": lambda true, fused: accuracy_score(true, likeliest(fused)),
    "uar": lambda true, fused: recall_score(true, likeliest(fused), average="macro"),
    "macro_f1": lambda true, fused: f1_score(true, likeliest(fused), average="macro"),
    "loss": lambda true, fused: -log_loss(true, fused, labels=CLASSES),
}


def likeliest(probabilities: np.ndarray) -> np.ndarray:
    return np.array(CLASSES)[probabilities.argmax(axis=1)]


def predictions(seed: int, skill: float = 1.0, **sizes) -> pd.DataFrame:
    """Of an arm that is right more often the more skill it has."""
    labels = np.random.default_rng(0).integers(0, 3, N)
    logits = np.random.default_rng(seed).normal(0, 1.5, (N, 3))
    logits[np.arange(N), labels] += skill
    likelihood = np.exp(logits)
    rows = pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(N)],
            "split": ["train", "validation", "test"] * (N // 3),
            "label": np.array(CLASSES)[labels],
        }
    )
    return predictions_frame(
        rows, likelihood / likelihood.sum(axis=1, keepdims=True), CLASSES, **sizes
    )


def columns_of(frame: pd.DataFrame) -> np.ndarray:
    return frame[[f"p_{name}" for name in CLASSES]].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("metric", UTILITIES)
@pytest.mark.parametrize("n_arms", [2, 3])
def test_no_weighting_of_the_grid_scores_better_on_validation_rows(metric, n_arms):
    arms = [predictions(seed) for seed in range(1, n_arms + 1)]
    criterion = Criterion(metric=metric)
    weights, score = best_weights(ArmPredictions.of(arms), criterion)
    held = (arms[0]["split"] == "validation").to_numpy()
    true = arms[0]["label"][held]

    def score_of(steps):
        fused = sum(n / 20 * columns_of(arm)[held] for n, arm in zip(steps, arms, strict=True))
        return UTILITIES[metric](true, fused)

    grid = [steps for steps in itertools.product(range(21), repeat=n_arms) if sum(steps) == 20]
    best = max(map(score_of, grid))
    assert criterion.utility(score) == pytest.approx(best)
    assert score_of(np.round(weights * 20)) == pytest.approx(best)
    # Of equal ones the nearest to the plain mean.
    equals = [steps for steps in grid if score_of(steps) == pytest.approx(best)]
    assert np.square(weights * 20).sum() == pytest.approx(min(np.square(s).sum() for s in equals))


@given(st.integers(2, 4))
def test_the_grid_has_every_weighting_once_and_the_most_equal_one_first(n_arms):
    found = np.round(weight_grid(n_arms) * 20).astype(int).tolist()
    expected = [list(s) for s in itertools.product(range(21), repeat=n_arms) if sum(s) == 20]
    assert sorted(found) == sorted(expected)
    assert max(found[0]) - min(found[0]) <= 1


def test_utterances_and_classes_are_joined_by_name():
    first, second = predictions(1), predictions(2)
    shuffled = second.sample(frac=1, random_state=0)
    shuffled = shuffled[[*shuffled.columns[:4], "p_yes", "p_no", "p_perhaps", *second.columns[7:]]]
    plain, mixed = ArmPredictions.of([first, second]), ArmPredictions.of([first, shuffled])
    assert plain.classes == mixed.classes == CLASSES
    np.testing.assert_array_equal(plain.probabilities, mixed.probabilities)
    np.testing.assert_array_equal(plain.probabilities[1], columns_of(second))


def test_test_and_training_rows_have_no_say():
    first, second = predictions(1), predictions(2)
    weights, score = best_weights(ArmPredictions.of([first, second]), Criterion())
    others = second["split"] != "validation"
    second.loc[others, ["p_no", "p_perhaps", "p_yes"]] = 1 / 3
    second.loc[others, "label"] = "no"
    unchanged, same = best_weights(ArmPredictions.of([first, second]), Criterion())
    assert (weights.tolist(), score) == (unchanged.tolist(), same)


def test_a_class_that_an_arm_does_not_know_has_no_probability_there():
    known = predictions(1).drop(columns="p_yes")
    fused = ArmPredictions.of([known, predictions(2)])
    assert fused.classes == CLASSES
    assert not fused.probabilities[0, :, CLASSES.index("yes")].any()


def test_utterances_that_an_arm_lacks_are_named():
    with pytest.raises(InputError, match=r"(?s)Not all of the fused arms.*u7"):
        ArmPredictions.of([predictions(1), predictions(2).query("id != 'u7'")])


def test_what_was_saved_predicts_the_weighted_mean(tmp_path):
    arms = [
        predictions(1, skill=2.0, n_text_tokens=9, cut=np.arange(N) == 3),
        predictions(2, skill=-3.0, n_text_tokens=2, n_audio_tokens=np.arange(N)),
    ]
    inputs = {}
    for role, frame in zip(("arm_1", "arm_2"), arms, strict=True):
        frame.to_parquet(tmp_path / f"{role}.parquet")
        inputs[role] = [str(tmp_path / f"{role}.parquet")]
    arm = LateFusion(system="late_fusion", arms=["words", "voice"]).as_read()
    settings = SimpleNamespace(arm=arm, criterion=Criterion())
    training = late_fusion_model.fit(inputs, settings, tmp_path, 1)
    weights = training["weights"]
    assert training["trainable_parameters"] == 2
    assert weights["arm_1"] > weights["arm_2"], "the better arm weighs more"

    found = late_fusion_model.open(tmp_path).predict(inputs, 1)
    expected = weights["arm_1"] * columns_of(arms[0]) + weights["arm_2"] * columns_of(arms[1])
    np.testing.assert_allclose(columns_of(found), expected, rtol=1e-12)
    assert list(found["predicted"]) == list(likeliest(expected))
    assert list(found["id"]) == list(arms[0]["id"])
    assert set(found["n_text_tokens"]) == {9}
    assert list(found["n_audio_tokens"]) == list(range(N))
    assert list(np.flatnonzero(found["cut"])) == [3]
    assert found.dtypes.to_dict() == arms[1].dtypes.to_dict()


def test_an_override_that_nothing_reads_is_refused():
    with pytest.raises(ValueError, match="override those of the arms that it fuses"):
        LateFusion(system="late_fusion", arms=["a", "b"], override={"lm": {"max_length": 64}})
