"""Plans of the system that hears: what it shares, what it reads, what it refuses."""

from __future__ import annotations

import pytest
from plans import plan

from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan

EXPERIMENT = {"experiment": {"arms": ["heard", "pooled_linear"]}, "seeds": [1]}
ALL_LAYERS = {"encoder": {"layers": "all"}}


def planned(arm=None, **sections):
    arms = {"heard": {"system": "learned", **(arm or {})}}
    return plan(**{**EXPERIMENT, **ALL_LAYERS, "arms": arms, **sections})


def trainings(a_plan):
    return [
        run.evaluation.upstream["predictions"].upstream["training"]
        for run in a_plan.runs
        if run.arm.startswith("heard")
    ]


def test_frames_are_those_of_the_pooled_system_and_predictions_read_them_again():
    a_plan = planned()
    assert len(a_plan.keys("encode_audio")) == 1
    (training,) = trainings(a_plan)
    (pooled,) = a_plan.variants["fit_linear"].values()
    assert training.upstream["frames"].key == pooled.upstream["frames"].key
    (prediction,) = a_plan.variants["predict"].values()
    assert set(prediction.upstream) == {"training", "token_texts", "frames"}
    assert not a_plan.keys("tokenize_audio"), "it reads no tokens"


def test_log_mel_frames_are_read_without_a_pretrained_encoder():
    a_plan = planned(encoder={"model": "logmel", "layers": [2]}, arm={"layers": [0]})
    (frames,) = a_plan.variants["encode_audio"].values()
    assert frames.key.startswith("logmel-") and "packaged_models" not in frames.spec
    with pytest.raises(InputError, match=r"learned's layers: \[2\] are not among the layers \[0\]"):
        planned(encoder={"model": "logmel"}, arm={"layers": [2]})


def test_low_rank_updates_are_its_method_whatever_others_are_fine_tuned_by():
    full, lora = planned(), planned(finetune={"method": "lora"})
    assert set(full.keys("finetune")) == set(lora.keys("finetune"))
    other = planned(finetune={"lora": {"rank": 7}})
    assert set(other.keys("finetune")) != set(full.keys("finetune"))
    swept = planned(finetune={"lora": {"rank": [4, 8]}})
    assert [run.arm for run in swept.runs if run.arm != "pooled_linear"] == [
        *("heard[rank=4]", "heard[rank=8]")
    ]
    assert [training.settings.finetune.lora.rank for training in trainings(swept)] == [4, 8]


def test_inner_folds_choose_its_epoch():
    folds = {"folds": {"choose_on": "inner_folds", "n_inner_folds": 2}}
    (training,) = trainings(planned(dataset=folds))
    assert {"inner_fit_0", "inner_fit_1"} <= training.upstream.keys()
    (once,) = trainings(planned(dataset=folds, finetune={"epochs": 1}))
    assert not {"inner_fit_0", "inner_fit_1"} & once.upstream.keys()


def test_without_words_there_is_nothing_to_transcribe(table):
    columns = {"text": None, "group": "speaker"}
    dataset = {
        "source": "table",
        "table": {"path": table, "columns": columns},
        "folds": {"method": "grouped", "n_folds": 3},
    }

    def heard(**arm):
        arms = {"heard": {"system": "learned", "inputs": ["audio"], **arm}}
        chosen = {"experiment": {"arms": ["heard"]}, "seeds": [1], **ALL_LAYERS}
        return make_plan(load_settings({**chosen, "arms": arms, "dataset": dataset}))

    with pytest.raises(
        InputError, match=r"arms\.heard: .* learns to transcribe, but .* curriculum: none"
    ):
        heard()
    for training in trainings(heard(curriculum="none")):
        assert training.upstream["token_texts"].settings.inputs == []
        assert training.upstream["token_texts"].key.startswith("rows-")
