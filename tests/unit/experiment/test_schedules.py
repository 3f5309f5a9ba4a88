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


BILINGUAL = {"dataset": {"demo": {"second_language": "de"}}}


def cross_lingual(schedule, dataset=BILINGUAL):
    return make_plan(
        load_settings(
            {"experiment": {"arms": ["lasso"]}, "finetune": {"schedule": schedule}, **dataset}
        )
    )


def test_a_target_language_changes_fine_tuning_and_what_follows():
    part = {"scheme": "curriculum", "speech_fraction": 0.1}
    before, after = cross_lingual(part), cross_lingual(part | {"target_language": "de"})
    changed = ["evaluate", "finetune", "predict", "schedule_examples"]
    assert changed_stages(before, after) == changed
    words = [
        cross_lingual({"scheme": "text_only", **key}) for key in ({}, {"target_language": "de"})
    ]
    assert folders(words[0]) == folders(words[1]), "text_only reads no language"


def test_data_in_one_language_have_keys_that_know_of_no_language():
    part = {"scheme": "curriculum", "speech_fraction": 0.1}
    variants = cross_lingual(part, {}).variants
    for stage in ("demo_corpus", "manifest", "schedule_examples"):
        for variant in variants[stage].values():
            assert "language" not in str(variant.settings.hashed_settings())


def test_the_manifest_of_two_languages_has_their_column():
    for dataset, column in (({}, None), (BILINGUAL, "language")):
        (manifest,) = cross_lingual(None, dataset).variants["manifest"].values()
        assert manifest.settings.table.columns.language == column


def test_a_target_language_needs_data_that_have_it(tmp_path):
    schedule = {"scheme": "direct_mix", "target_language": "fr"}
    key = "finetune.schedule.target_language: "
    none = (
        key + "no language of the demo corpus is 'fr'; it has {}, as dataset.demo.second_language"
    )
    table = {"source": "table", "table": {"path": "t.csv", "columns": {"split": "split"}}}
    for dataset, message in (
        ({}, none.format("en")),
        (BILINGUAL, none.format("de, en")),
        (
            {"dataset": table},
            key + "needs the language of each row; name dataset.table.columns.language",
        ),
    ):
        with pytest.raises(InputError) as error:
            cross_lingual(schedule, dataset)
        assert message in str(error.value)
        with pytest.raises(InputError, match="arms.a.override.finetune.schedule.target_language"):
            load_settings(
                {"arms": {"a": {"override": {"finetune": {"schedule": schedule}}}}, **dataset}
            )
    table["table"]["columns"]["language"] = "spoken"
    load_settings({"finetune": {"schedule": schedule}, "dataset": table})


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
