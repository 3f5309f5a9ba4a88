import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.evaluation.decision import MOST_CANDIDATES, decide, mean_threshold, tuned_threshold


def test_without_a_threshold_the_likeliest_class_is_taken():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    assert decide(probabilities, ["a", "b", "c"]).tolist() == [1, 0]


def test_a_threshold_is_about_its_class():
    probabilities = np.array([[0.7, 0.3], [0.69, 0.31], [0.2, 0.8]])
    low = {"label": "rare", "probability": 0.31}
    assert decide(probabilities, ["common", "rare"], low).tolist() == [0, 1, 1]
    assert decide(probabilities, ["rare", "common"], low).tolist() == [0, 0, 1]


@pytest.mark.slow
@given(
    probabilities=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    seed=st.integers(0, 99),
    position=st.sampled_from([0, 1]),
)
def test_no_threshold_scores_better_than_the_tuned_one(probabilities, seed, position):
    positive = np.array(probabilities) / 20
    columns = [positive, 1 - positive][:: 1 if position == 0 else -1]
    probabilities = np.stack(columns, axis=1)
    labels = np.random.default_rng(seed).integers(2, size=len(positive))

    def score(predicted):
        right = ((labels == position) & (predicted == position)).sum()
        either = (labels == position).sum() + (predicted == position).sum()
        return 2 * right / max(either, 1)  # F1

    tuned = tuned_threshold(probabilities, ["a", "b"], "ab"[position], score)
    assert tuned["label"] == "ab"[position]
    best = score(decide(probabilities, ["a", "b"], tuned))
    every = [
        score(decide(probabilities, ["a", "b"], tuned | {"probability": value}))
        for value in np.linspace(0.01, 0.99, 99)
        # Predicting one class for all is a decision that no value between two rows stands for.
        if positive.min() < value <= positive.max() or value == 0.5
    ]
    assert best >= max(every)


def test_one_half_is_kept_where_nothing_is_better():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    tuned = tuned_threshold(probabilities, ["a", "b"], "b", lambda predicted: 1.0)
    assert tuned["probability"] == 0.5


def test_thresholds_of_several_models_are_averaged():
    def about(label, probability):
        return {"label": label, "probability": probability}

    assert mean_threshold([None, None]) is None
    assert mean_threshold([about("b", 0.1), about("b", 0.3)]) == about("b", 0.2)
    # The likeliest of two classes is a threshold of one half, and 0.9 for one is 0.1 for the other.
    assert mean_threshold([about("b", 0.1), None])["probability"] == 0.3
    turned = mean_threshold([about("b", 0.1), about("a", 0.7)])
    assert (turned["label"], round(turned["probability"], 9)) == ("b", 0.2)


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_taken():
    positive = np.array([0.2, 0.6, 0.8, 0.9])
    probabilities = np.stack([1 - positive, positive], axis=1)
    tuned = tuned_threshold(probabilities, ["a", "b"], "b", lambda predicted: predicted.sum() < 3)
    assert tuned["probability"] == (0.6 + 0.8) / 2, "and not between 0.8 and 0.9"


def test_of_many_thresholds_some_are_tried_from_the_lowest_to_the_highest():
    positive = np.arange(1, 1001) / 1001
    probabilities = np.stack([1 - positive, positive], axis=1)
    for wanted in (1, 999):
        tried = []

        def score(predicted, tried=tried, wanted=wanted):
            tried.append(predicted.sum())
            return -abs(predicted.sum() - wanted)

        tuned = tuned_threshold(probabilities, ["a", "b"], "b", score)
        assert decide(probabilities, ["a", "b"], tuned).sum() == wanted
        assert len(tried) == MOST_CANDIDATES + 1, "one half beside them"
