"""Plans of the systems that are asked which label fits: what they read, what makes another key."""

from __future__ import annotations

import pytest
from plans import plan

from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan

ALL_LAYERS = {"encoder": {"layers": "all"}}


def keys(arm, seeds=(1,), **sections):
    experiment = {"experiment": {"arms": ["asked"]}, "seeds": list(seeds), **ALL_LAYERS}
    return set(plan(**experiment, arms={"asked": arm}, **sections).keys("finetune"))


SMALL, WHOLE = {"system": "small_speech_lm"}, {"system": "speech_lm"}
LORA = {"training": "lora"}


@pytest.mark.parametrize("arm", [SMALL, WHOLE], ids=lambda arm: arm["system"])
@pytest.mark.parametrize(
    "finetune",
    [
        {"learning_rate": 0.5},
        {"epochs": 3},
        {"patience": 1},
        {"class_weights": "none"},
        {"focal_gamma": 1.0},
    ],
)
def test_zero_shot_reads_nothing_of_how_labels_are_learned(arm, finetune):
    assert keys(arm) == keys(arm, finetune=finetune)
    assert keys(arm | LORA) != keys(arm | LORA, finetune=finetune)
    assert keys(arm) != keys(arm | LORA)


def test_a_model_that_is_only_asked_is_the_same_with_every_seed():
    assert len(keys(WHOLE, seeds=(1, 2))) == 1
    assert len(keys(WHOLE | LORA, seeds=(1, 2))) == len(keys(SMALL, seeds=(1, 2))) == 2
    batches = {"batch_size": 4, "lora": {"rank": 3}}
    assert keys(WHOLE) == keys(WHOLE, finetune=batches)
    assert keys(SMALL) != keys(SMALL, finetune=batches)


def test_the_model_and_the_question_are_part_of_the_key():
    plain = keys(WHOLE)
    for other in (
        {"model": "other/model"},
        {"revision": "abc"},
        {"model_class": "VoxtralForConditionalGeneration"},
        {"prompt": "{text}: {labels}?"},
        {"inputs": ["audio"]},
    ):
        assert keys(WHOLE | other) != plain
    # It has a model of its own.
    assert keys(WHOLE, lm={"name": "other/model", "max_length": 64}) == plain
    (training,) = (
        plan(experiment={"arms": ["asked"]}, seeds=[1], arms={"asked": WHOLE | {"revision": "abc"}})
        .variants["finetune"]
        .values()
    )
    assert training.settings.models() == {"lm": ("Qwen/Qwen2-Audio-7B-Instruct", "abc")}


@pytest.mark.parametrize("arm", [SMALL, WHOLE], ids=lambda arm: arm["system"])
def test_inner_folds_choose_an_epoch_where_one_is_learned(arm):
    folds = {"folds": {"choose_on": "inner_folds", "n_inner_folds": 2}}

    def chooses(arm):
        experiment = {"experiment": {"arms": ["asked"]}, "seeds": [1], **ALL_LAYERS}
        (run,) = plan(**experiment, arms={"asked": arm}, dataset=folds).runs
        training = run.evaluation.upstream["predictions"].upstream["training"]
        return "inner_fit_0" in training.upstream

    assert chooses(arm | LORA) and not chooses(arm)


def test_without_words_a_small_model_has_nothing_to_transcribe(table):
    dataset = {
        "source": "table",
        "table": {"path": table, "columns": {"text": None, "group": "speaker"}},
        "folds": {"method": "grouped", "n_folds": 3},
    }

    def planned(arm):
        arms = {"asked": arm | {"inputs": ["audio"]}}
        chosen = {"experiment": {"arms": ["asked"]}, "seeds": [1], **ALL_LAYERS}
        return make_plan(load_settings({**chosen, "arms": arms, "dataset": dataset}))

    with pytest.raises(InputError, match=r"arms\.asked: .* learns to transcribe, but"):
        planned(SMALL)
    for training in planned(WHOLE).variants["finetune"].values():
        assert training.upstream["token_texts"].settings.inputs == []
