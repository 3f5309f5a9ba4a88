"""Faithfulness of explanations: against a plain loop, and of a model whose one reason is known."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from made_card import card

from speechlasso.trained_model import faithfulness as module
from speechlasso.trained_model.faithfulness import SHARES, faithfulness

WORDS = ["so", "it", "is", "said", "and", "done"]


class KnownClassifier:
    """Its probability of "loud" is known: `weights` of the words and tokens that are there."""

    def __init__(self, weights):
        self.weights = weights
        self.n_predictions = 0

    def predict(self, examples, threads=1):
        self.n_predictions += len(examples)
        loud = [
            1 / (1 + math.exp(-sum(self.weights.get(part, 0.0) for part in parts(row))))
            for row in examples.to_dict("records")
        ]
        loud = np.array(loud)
        named = np.where(loud > 0.5, "loud", "calm")
        return pd.DataFrame({"predicted": named, "p_calm": 1 - loud, "p_loud": loud})


def parts(row):
    tokens = row["audio_tokens"]
    return [*(row["text"] or "").split(), *([] if tokens is None else tokens.tolist())]


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "text": [" ".join(rng.permutation(WORDS)) for _ in range(6)],
            "audio_tokens": [rng.integers(5, size=8) for _ in range(6)],
        }
    )


def test_what_ranks_take_away_is_that_of_a_plain_loop(examples):
    classifier = KnownClassifier({"said": 2.0, "it": 0.3, 3: 0.7, 1: -0.4})
    expected = {"comprehensiveness": [], "sufficiency": []}
    for row in examples.to_dict("records"):
        names = [*row["text"].split(), *np.unique(row["audio_tokens"]).tolist()]

        def probability(kept, row=row):
            left = {
                "text": " ".join(word for word in row["text"].split() if word in kept),
                "audio_tokens": np.array([t for t in row["audio_tokens"] if t in kept]),
            }
            return classifier.predict(pd.DataFrame([left])).iloc[0]

        whole = probability(names)
        column = f"p_{whole['predicted']}"
        effects = [
            whole[column] - probability([n for n in names if n != name])[column] for name in names
        ]
        order = sorted(range(len(names)), key=lambda i, effects=effects: -effects[i])
        for share in SHARES:
            first = {names[i] for i in order[: math.ceil(share * len(names))]}
            rest = [name for name in names if name not in first]
            expected["comprehensiveness"].append(whole[column] - probability(rest)[column])
            expected["sufficiency"].append(whole[column] - probability(first)[column])
    found = faithfulness(classifier, examples, seed=1)
    assert found["n"] == 6
    for name, values in expected.items():
        assert found[name] == pytest.approx(np.mean(values))


def test_ranks_of_a_model_with_one_reason_beat_random_parts(examples):
    found = faithfulness(KnownClassifier({"said": 4.0}), examples, seed=1)
    assert found["comprehensiveness"] == pytest.approx(1 / (1 + math.exp(-4)) - 0.5)
    assert found["sufficiency"] == pytest.approx(0)
    assert found["random_comprehensiveness"] < 0.7 * found["comprehensiveness"]
    assert found["random_sufficiency"] > 0.2


def test_a_model_without_any_reason_is_told_as_it_is(examples):
    found = faithfulness(KnownClassifier({}), examples, seed=1)
    assert {value for name, value in found.items() if name != "n"} == {0.0}


def test_the_seed_repeats_and_work_is_bounded(examples, monkeypatch):
    monkeypatch.setattr(module, "MOST_PREDICTIONS", 100)
    weights = {"said": 1.0, "it": -0.5, 2: 0.5}
    classifier = KnownClassifier(weights)
    assert faithfulness(classifier, examples, seed=1) == faithfulness(
        KnownClassifier(weights), examples, seed=1
    )
    assert classifier.n_predictions <= 100
    # At least one utterance is looked at, however long it is.
    monkeypatch.setattr(module, "MOST_PREDICTIONS", 1)
    assert faithfulness(KnownClassifier({}), examples, seed=1)["n"] == 1


@pytest.mark.parametrize("unread", ["text", "audio_tokens"])
def test_words_or_tokens_may_be_all_that_is_read(examples, unread):
    found = faithfulness(
        KnownClassifier({"said": 1.0, 2: 1.0}), examples.assign(**{unread: None}), 1
    )
    assert found["n"] == 6


def test_nothing_can_be_left_out_of_one_word(examples):
    one = examples.assign(text="so", audio_tokens=None)
    assert faithfulness(KnownClassifier({}), one, seed=1) is None


def test_the_card_says_what_was_found():
    found = {"split": "validation", "n": 12} | {
        name: number / 1000
        for number, name in enumerate(
            ["comprehensiveness", "sufficiency", "random_comprehensiveness", "random_sufficiency"],
            101,
        )
    }
    text = card(faithfulness=found)[1]
    assert re.search(r"comprehensiveness.*\| 0.101 \| 0.103 \|", text)
    assert re.search(r"sufficiency.*\| 0.102 \| 0.104 \|", text)
    assert "on 12 validation rows" in text
    assert "## Explanations" not in card()[1]
