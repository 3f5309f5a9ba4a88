"""Schedules in the plan: what reads them, and what they leave alone."""

from __future__ import annotations

import pytest

from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan

ARMS = ["text_only", "audio_only", "lasso", "bow_linear"]


def plan(schedule, **finetune):
    config = {"experiment": {"arms": ARMS}, "finetune": {"schedule": schedule, **finetune}}
    return make_plan(load_settings(config))


def folders(a_plan):
    return {
        (stage, variant.folder)
        for stage, of_stage in a_plan.variants.items()
        for variant in of_stage.values()
    }


def changed_stages(before, after):
    return sorted({stage for stage, _ in folders(after) - folders(before)})


def test_a_part_of_speech_changes_fine_tuning_and_what_follows():
    tenth = plan({"scheme": "curriculum", "speech_fraction": 0.1})
    half = plan({"scheme": "curriculum", "speech_fraction": 0.5})
    after = ["evaluate", "finetune", "predict", "schedule_examples"]
    assert changed_stages(tenth, half) == changed_stages(plan(None), half) == after
    assert len(tenth.variants["schedule_examples"]) == 2  # one for each seed


def test_only_arms_that_read_text_and_audio_have_a_schedule():
    a_plan = plan({"scheme": "direct_mix"})
    with_schedule = {run.arm for run in a_plan.runs if "examples" in run.parts()}
    assert with_schedule == {"lasso"}


def test_text_only_reads_no_part_and_draws_nothing():
    tenth = plan({"scheme": "text_only", "speech_fraction": 0.1})
    half = plan({"scheme": "text_only", "speech_fraction": 0.5})
    assert folders(tenth) == folders(half)
    assert len(tenth.variants["schedule_examples"]) == 1


def test_a_list_of_parts_runs_once_for_each_where_a_part_is_read():
    a_plan = plan({"scheme": "curriculum", "speech_fraction": [0, 0.25, 1]})
    swept = [f"lasso[speech_fraction={part}]" for part in ("0", "0.25", "1")]
    assert list(dict.fromkeys(run.arm for run in a_plan.runs)) == [
        *("text_only", "audio_only"),
        *swept,
        "bow_linear",
    ]
    text_alone = plan({"scheme": "text_only", "speech_fraction": [0, 0.25, 1]})
    assert list(dict.fromkeys(run.arm for run in text_alone.runs)) == ARMS


def test_a_model_predicts_from_words_alone_without_another_training():
    unheard = {"select": "lasso", "predict_inputs": ["text"]}
    arms = {"lasso": {"select": "lasso"}, "unheard": unheard}
    config = {"experiment": {"arms": ["lasso", "unheard"]}, "seeds": [1], "arms": arms}
    heard, words = make_plan(load_settings(config)).runs
    assert heard.parts()["training"].folder == words.parts()["training"].folder
    read = [run.parts()["predictions"].upstream["token_texts"] for run in (heard, words)]
    assert [texts.settings.inputs for texts in read] == [["text", "audio"], ["text"]]
    unheard["inputs"] = ["audio"]
    with pytest.raises(InputError, match="unheard.*: the arm does not learn from text"):
        load_settings(config)


def test_mistakes_name_the_key():
    for schedule, message in (
        ({"scheme": "curriculm"}, "finetune.schedule.scheme: input should be"),
        ({"scheme": "direct_mix", "speech_fractoin": 1}, "did you mean 'speech_fraction'?"),
        ({}, "finetune.schedule.scheme: missing: text_only: every training row"),
    ):
        with pytest.raises(InputError) as error:
            plan(schedule)
        assert message in str(error.value)
    with pytest.raises(InputError, match=r"finetune: .*curriculum needs two epochs or more"):
        plan({"scheme": "curriculum"}, epochs=1)
