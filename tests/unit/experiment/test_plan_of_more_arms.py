"""Shared stages are shared: another arm adds what is its own, and re-runs nothing of the others."""

from __future__ import annotations

import pytest
from plans import keys_by_stage, plan

from speechlasso.systems.cards import default_arms

ARMS = list(default_arms())
FOLDS = {
    "one division": {},
    "two folds": {"method": "stratified", "n_folds": 2},
    "inner folds": {"choose_on": "inner_folds", "n_inner_folds": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("order", [ARMS, ARMS[::-1]], ids=["forwards", "backwards"])
@pytest.mark.parametrize("folds", FOLDS.values(), ids=FOLDS)
def test_an_arm_adds_the_variants_that_it_reads_and_changes_no_other(folds, order):
    """Whichever arms there are already, one by one through all of the default configuration."""

    def keys(arms):
        made = plan(experiment={"arms": arms}, dataset={"folds": folds}, seeds=[1])
        return keys_by_stage(made)

    before = dict.fromkeys(keys([order[0]]), frozenset())
    for n, arm in enumerate(order):
        alone, together = keys([arm]), keys(order[: n + 1])
        assert together == {stage: before[stage] | alone[stage] for stage in before}, arm
        assert len(together["evaluate"]) > len(before["evaluate"]), arm
        before = together


def test_what_arms_decide_by():
    """Not by what they learn from, where they predict from less, and through other arms."""
    arms = {
        "asked": {"system": "token_lm", "select": "lasso", "predict_inputs": ["text"]},
        "chance": {"system": "bow_linear", "select": "lasso", "classifier": "dummy"},
        "of_text": {"system": "late_fusion", "arms": ["text_only", "asked"]},
    }
    names = ["fused", "of_text", "asked", "chance", "lasso", "mfcc_linear", "text_only"]
    assert plan(arms=arms, experiment={"arms": names}).reads() == {
        "fused": ["audio", "text"],
        "of_text": ["text"],
        "asked": ["text"],
        "chance": [],
        "lasso": ["audio", "text"],
        "mfcc_linear": ["audio"],
        "text_only": ["text"],
    }
