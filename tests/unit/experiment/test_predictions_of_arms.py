"""Arms that read the predictions of others."""

from __future__ import annotations

import pytest

from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings

WORDS = {"system": "bow_linear", "inputs": ["text"]}
ARMS = {
    "words": {**WORDS, "override": {"bow": {"lowercase": False}}},
    "voice": {"system": "token_lm", "inputs": ["audio"], "select": "lasso"},
    "both": {"system": "late_fusion", "arms": ["words", "voice"]},
}


def plan(names: list[str], arms: dict, **sections):
    base = Settings().model_dump() | {"arms": {}}
    experiment = {"name": "fusion", "arms": names}
    config = {"experiment": experiment, "seeds": [1], "arms": arms, **sections}
    return make_plan(load_settings(merged(base, config)))


def run(a_plan, arm):
    return next(run for run in a_plan.runs if run.arm == arm)


def folders(a_plan):
    return {v.folder for of_stage in a_plan.variants.values() for v in of_stage.values()}


def test_what_is_read_is_what_the_arm_itself_predicts():
    a_plan = plan(["words", "voice", "both"], ARMS)
    parts = run(a_plan, "both").parts()
    assert parts["arm_1"] is run(a_plan, "words").parts()["predictions"]
    assert parts["arm_2"] is run(a_plan, "voice").parts()["predictions"]
    assert (parts["arm_1"].stage, parts["arm_2"].stage) == ("fit_linear", "predict")
    # With its own override, whatever that of the arm that reads it.
    assert parts["arm_1"].upstream["bow"].settings.bow.lowercase is False


def test_a_fusion_adds_itself_alone_and_its_own_parts():
    without, fused = plan(["words", "voice"], ARMS), plan(["words", "voice", "both"], ARMS)
    added = folders(fused) - folders(without)
    assert sorted(folder.split("/")[1] for folder in added) == ["evaluate", "fit_linear"]
    both = run(fused, "both")
    assert set(both.folders()) == {
        *("evaluation", "predictions", "training", "arm_1", "arm_2", "manifest"),
    }
    assert both.folders()["manifest"] == run(fused, "words").folders()["manifest"]
    assert len(both.files()) == 2
    assert both.overlap_files() == run(fused, "voice").overlap_files() != []


def test_an_arm_that_is_only_read_is_computed_and_no_run():
    alone = plan(["both"], ARMS)
    assert [run.arm for run in alone.runs] == ["both"]
    assert folders(alone) < folders(plan(["words", "voice", "both"], ARMS))


def test_a_setting_of_a_fused_arm_changes_the_fusion_and_names_change_nothing():
    before = plan(["both"], ARMS)
    other = merged(ARMS, {"words": {"C": [1.0]}})
    key = run(before, "both").parts()["training"].key
    assert run(plan(["both"], other), "both").parts()["training"].key != key
    renamed = {"a": ARMS["words"], "b": ARMS["voice"], "c": {**ARMS["both"], "arms": ["a", "b"]}}
    assert folders(plan(["c"], renamed)) == folders(before)


def test_a_fusion_can_be_fused():
    arms = ARMS | {
        "more": {"system": "late_fusion", "arms": ["both", "third"]},
        "third": {**WORDS, "C": [0.1]},
    }
    parts = run(plan(["more"], arms), "more").parts()
    assert parts["arm_1"].settings.arm.system == "late_fusion"
    assert parts["manifest"].stage == "manifest"


@pytest.mark.parametrize(
    ("arms", "sections", "message"),
    [
        (
            {"both": {"arms": ["words", "voise"]}},
            {},
            "arms.both: no arm is named 'voise'; did you mean 'voice'?",
        ),
        (
            {"both": {"arms": ["both", "words"]}},
            {},
            "arms.both: an arm cannot read its own predictions: both -> both",
        ),
        (
            {
                "both": {"arms": ["words", "more"]},
                "more": {"system": "late_fusion", "arms": ["voice", "both"]},
            },
            {},
            "arms.more: an arm cannot read its own predictions: both -> more -> both",
        ),
        (
            {},
            {"finetune": {"learning_rate": [1e-4, 1e-3]}},
            "arms.both: 'voice' runs once for each value of a list (voice[learning_rate=0.0001], "
            "...); give it one value, in arms.voice.override if only there",
        ),
        ({"both": {"arms": ["words"]}}, {}, "arms.both.arms: list should have at least 2 items"),
        ({"both": {"arms": ["words", "words"]}}, {}, "arms.both.arms: value error, each arm once"),
        (
            {"both": {"inputs": ["text"]}},
            {},
            "arms.both.inputs: not a key of this system, but of token_lm, bow_linear",
        ),
    ],
)
def test_arms_that_cannot_be_read_are_refused(arms, sections, message):
    with pytest.raises(InputError) as error:
        plan(["both"], merged(ARMS, arms), **sections)
    assert message in str(error.value)


def test_one_value_in_the_override_of_a_fused_arm_is_read_whatever_list_the_others_run_with():
    rates = {"finetune": {"learning_rate": [1e-4, 1e-3]}}
    arms = merged(ARMS, {"voice": {"override": {"finetune": {"learning_rate": 1e-3}}}})
    of_both = run(plan(["both"], arms, **rates), "both").parts()
    trained = of_both["arm_2"].upstream["training"]
    assert trained.settings.finetune.learning_rate == 1e-3


def test_audio_that_only_a_fused_arm_reads_needs_its_column(tmp_path):
    (tmp_path / "table.csv").write_text("id,text,label,split\nu1,hello,a,train\n")
    dataset = {
        "source": "table",
        "table": {
            "path": str(tmp_path / "table.csv"),
            "columns": {"audio": None, "split": "split"},
        },
    }
    with pytest.raises(InputError, match=r"columns.audio: null, but .* read audio: voice;"):
        plan(["both"], ARMS, dataset=dataset)
    texts = ARMS | {"voice": WORDS}
    assert run(plan(["both"], texts, dataset=dataset), "both")
