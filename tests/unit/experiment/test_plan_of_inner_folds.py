"""Plans in which inner folds choose: everything is learned on each of them, then on all rows."""

from __future__ import annotations

from functools import partial

import pytest
from plans import changed_stages, keys_by_stage, leave_one_speaker_out, plan

from speechlasso.errors import InputError
from speechlasso.evaluation.inner_folds import is_inner
from speechlasso.experiment.settings import Settings
from speechlasso.experiment.sweeps import single
from speechlasso.pipeline.artifacts import Artifacts
from speechlasso.systems.bow_linear import BowLinear
from speechlasso.systems.settings import Reads

LEARNED = {
    *("fit_tokenizer", "tokenize_audio", "build_bow", "fit_path", "select_tokens", "token_texts"),
    *("adapt_lm", "finetune", "predict", "fit_linear"),
}
ARMS = {"experiment": {"arms": ["text_only", "lasso", "bow_linear", "fused"]}, "seeds": [1]}


def with_inner_folds(n=3, **sections):
    folds = {"choose_on": "inner_folds", "n_inner_folds": n}
    return plan(**{"dataset": {"folds": folds}, **ARMS, **sections})


def run_of(a_plan, arm):
    return next(run for run in a_plan.runs if run.arm == arm)


def folds_behind(variant):
    """Folds that the stages behind a variant learn from."""
    return {
        ancestor.settings.fold
        for ancestor in variant.with_ancestors()
        if getattr(ancestor.settings, "fold", None)
    }


def test_each_inner_fold_has_variants_of_all_that_learns_and_only_the_fold_is_scored():
    usual, inner = plan(**ARMS), with_inner_folds()
    n_usual, n_inner = (
        {stage: len(keys) for stage, keys in keys_by_stage(a_plan).items()}
        for a_plan in (usual, inner)
    )
    assert n_inner == {stage: n * 4 if stage in LEARNED else n for stage, n in n_usual.items()}
    assert n_inner["evaluate"] == n_inner["divide_folds"] + 3 == 4


def test_nothing_that_an_inner_fold_learns_reads_another_fold():
    a_plan = with_inner_folds()
    for arm in ARMS["experiment"]["arms"]:
        evaluation = run_of(a_plan, arm).evaluation
        assert list(evaluation.upstream) == [
            "predictions",
            *(f"inner_predictions_{n}" for n in range(3)),
        ]
        for number in range(3):
            inner = evaluation.upstream[f"inner_predictions_{number}"]
            assert folds_behind(inner) == {f"given inner {number}"}, arm


def test_what_chooses_reads_its_own_fits_on_the_inner_folds():
    a_plan = with_inner_folds(finetune={"decision_threshold": "tuned"})
    bow = run_of(a_plan, "bow_linear").evaluation.upstream
    fits = [bow["predictions"].upstream[f"inner_fit_{n}"] for n in range(3)]
    assert fits == [bow[f"inner_predictions_{n}"] for n in range(3)]
    assert {fit.settings.files_read("inner_fit_0") for fit in fits} == {("training.json",)}
    lasso = run_of(a_plan, "lasso").evaluation.upstream
    trained = lasso["predictions"].upstream["training"].upstream
    assert [role for role in trained if is_inner(role)] == [
        *(f"inner_fit_{n}" for n in range(3)),
        *(f"inner_predictions_{n}" for n in range(3)),
    ]
    for number in range(3):
        prediction = lasso[f"inner_predictions_{number}"]
        assert prediction is trained[f"inner_predictions_{number}"]
        assert prediction.upstream["training"] is trained[f"inner_fit_{number}"]
    fused = run_of(a_plan, "fused").evaluation.upstream["predictions"].upstream
    text = run_of(a_plan, "text_only").evaluation.upstream
    assert fused["inner_predictions_2_arm_1"] is text["inner_predictions_2"]


def test_what_chooses_nothing_reads_no_fits_of_inner_folds():
    a_plan = with_inner_folds(arms={"bow_linear": {"C": [0.1]}}, finetune={"epochs": 1})
    for arm in ("bow_linear", "lasso"):
        parts = run_of(a_plan, arm).parts()
        assert not any(map(is_inner, parts["training"].upstream))
        assert "inner_predictions_2" in parts, "its validation scores are"


def test_parts_of_a_run_are_those_of_its_fold():
    usual, inner = plan(**ARMS), with_inner_folds()
    for arm in ARMS["experiment"]["arms"]:
        parts = run_of(inner, arm).parts()
        own = {role: part for role, part in parts.items() if not is_inner(role)}
        assert parts.keys() - own.keys() == {f"inner_predictions_{n}" for n in range(3)}
        assert own.keys() == run_of(usual, arm).parts().keys()
        for role, part in own.items():
            # Predictions of others, and what the final fit has read of inner folds, lie behind.
            fold = getattr(part.settings, "fold", "given")
            assert fold in ("given", None), (arm, role)
        selection = own.get("select")
        assert selection is None or folds_behind(selection) == {"given"}
    assert run_of(inner, "lasso").files() == [
        f"{run_of(inner, 'lasso').folders()[role]}/{name}"
        for role, name in (
            *(("evaluation", "metrics.json"), ("training", "training.json")),
            *(("adapt", "training_log.csv"), ("adapt", "spec.json")),
            ("select", "selection.json"),
        )
    ]


def test_the_way_of_choosing_divides_anew_and_its_number_does_so_where_it_is_read():
    usual = plan(**ARMS)
    assert changed_stages(usual, plan(dataset={"folds": {"n_inner_folds": 7}}, **ARMS)) == set()
    changed = changed_stages(usual, with_inner_folds())
    assert changed == {*LEARNED, "divide_folds", "describe_selection", "evaluate"}
    share = {"choose_on": "inner_folds", "n_inner_folds": 3, "validation_share": 0.3}
    again = plan(dataset={"folds": share}, **ARMS)
    assert changed_stages(with_inner_folds(), again) == set()
    assert changed_stages(with_inner_folds(3), with_inner_folds(2)) == changed


def test_a_default_that_only_inner_folds_read_changes_no_key_of_a_plan_without():
    (folds,) = plan(**ARMS).variants["divide_folds"].values()
    assert folds.settings.hashed_settings() == {"folds": {}}


def test_left_out_groups_have_inner_folds_each(table):
    dataset = leave_one_speaker_out(table, choose_on="inner_folds", n_inner_folds=2)
    a_plan = plan(dataset=dataset, **ARMS)
    assert {run.fold for run in a_plan.runs} == {"s0", "s1", "s2"}
    folds = {bow.settings.fold for bow in a_plan.variants["build_bow"].values()}
    inner = {f"{name} inner {n}" for name in ("s0", "s1", "s2") for n in range(2)}
    assert folds == {"s0", "s1", "s2"} | inner


def test_a_pretrained_tokenizer_encodes_once_for_all_folds():
    a_plan = with_inner_folds(tokenizer={"method": "mimi"})
    assert len(a_plan.variants["tokenize_audio"]) == 1


def test_a_system_that_knows_validation_rows_alone_is_refused(monkeypatch):
    """Of another package, say, that was written before there were inner folds."""
    reads = BowLinear.reads

    def without(self, artifacts):
        found = reads(self, artifacts)
        upstream = {role: v for role, v in found.upstream.items() if not is_inner(role)}
        return Reads(upstream, chooses=found.chooses, draws=False)

    monkeypatch.setattr(BowLinear, "reads", without)
    with pytest.raises(InputError, match=r"arms.bow_linear: the system bow_linear chooses on val"):
        with_inner_folds()
    assert plan(**ARMS).runs


def test_variants_are_made_once_for_each_fold_and_seed():
    """Else every arm makes, and hashes, all that lies behind it anew."""
    settings = Settings(dataset={"folds": {"choose_on": "inner_folds"}})
    of_arm = Artifacts(settings, "given", 1, ("lasso",), partial(single, settings))
    arm = settings.arms["lasso"]
    assert of_arm.training(arm) is of_arm.training(arm)
    assert of_arm.inner_fits(arm)["inner_fit_3"] is of_arm.inner_folds()[3].training(arm)
    assert of_arm.selection("lasso") is not of_arm.selection("random")
    assert of_arm.bag_of_words(with_audio=False) is not of_arm.bag_of_words()
