"""Plans with adaptation to the language model's own answers."""

from __future__ import annotations

import pytest
from plans import leave_one_speaker_out, plan

from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings

POWERED = {"adapt": {"objective": "self_powered"}}
ARMS = {"powered": {"select": "lasso", "override": POWERED}, "plain": {"select": "lasso"}}


def folders(a_plan, *but):
    return {
        variant.folder
        for stage, of_stage in a_plan.variants.items()
        for variant in of_stage.values()
        if stage not in but
    }


def stages_behind(variant):
    return {ancestor.stage for ancestor in variant.with_ancestors()}


def test_the_answers_are_made_of_words_and_nothing_of_the_sound_is_behind_them():
    a_plan = plan(arms=ARMS, experiment={"arms": ["powered"]})
    (answers,) = a_plan.variants["answer_instructions"].values()
    assert list(answers.upstream) == ["texts"]
    assert answers.upstream["texts"].settings.inputs == ["text"]
    assert stages_behind(answers) == {
        *("demo_corpus", "manifest", "divide_folds", "token_texts", "answer_instructions"),
    }
    # Its own files: the model's and the instructions.
    assert list(answers.data) == ["instructions"]


def test_an_arm_with_answers_changes_no_key_of_the_others():
    without = plan(arms=ARMS, experiment={"arms": ["text_only", "plain"]})
    with_answers = plan(arms=ARMS, experiment={"arms": ["text_only", "plain", "powered"]})
    assert folders(without) < folders(with_answers)
    new = folders(with_answers) - folders(without)
    assert {folder.split("/")[1] for folder in new} == {
        *("answer_instructions", "token_texts", "adapt_lm", "finetune", "predict", "evaluate"),
    }
    # Seeds learn from the same answers.
    assert len(with_answers.variants["answer_instructions"]) == 1
    assert len([folder for folder in new if "adapt_lm" in folder]) == 2
    assert set(with_answers.anchor_bias_files()) == {"powered"}
    assert len(with_answers.anchor_bias_files()["powered"]) == 2


def test_settings_of_answers_change_nothing_where_none_are_read():
    usual = plan(arms=ARMS, experiment={"arms": ["plain"]})
    other = plan(
        arms=ARMS,
        experiment={"arms": ["plain"]},
        adapt={"self_powered": {"answers_per_utterance": 1, "seed": 2, "max_new_tokens": 9}},
    )
    assert folders(usual) == folders(other)


def test_what_decides_the_answers_is_in_their_key_and_adaptation_follows():
    def of(self_powered=(), **adapt):
        adapt = {"objective": "self_powered", "self_powered": dict(self_powered), **adapt}
        a_plan = plan(adapt=adapt, arms=ARMS, experiment={"arms": ["plain"]}, seeds=[1])
        return [a_plan.keys(stage)[0] for stage in ("answer_instructions", "adapt_lm")]

    usual = of()
    for changed in (
        of({"answers_per_utterance": 1}),
        of({"max_new_tokens": 9}),
        of({"seed": 2}),
        of(holdout=0.2),
        of(splits=["train", "validation"]),
    ):
        assert not set(changed) & set(usual)
    assert of({"batch_size": 3}) == of(mask_probability=0.3) == usual
    answers, adaptation = of(learning_rate=0.1)
    assert answers == usual[0] and adaptation != usual[1]


def test_arms_that_read_words_or_not_share_an_adaptation_to_answers():
    arms = {
        "both": {"select": "lasso", "override": POWERED},
        "audio": {"select": "lasso", "inputs": ["audio"], "override": POWERED},
    }
    a_plan = plan(arms=arms, experiment={"arms": ["both", "audio"]}, seeds=[1])
    assert len(a_plan.variants["adapt_lm"]) == 1


def test_folds_share_their_answers(table):
    a_plan = plan(
        dataset=leave_one_speaker_out(table), arms=ARMS, experiment={"arms": ["powered"]}, seeds=[1]
    )
    assert len(a_plan.variants["adapt_lm"]) == 3
    (answers,) = a_plan.variants["answer_instructions"].values()
    assert list(answers.upstream["texts"].upstream) == ["manifest"]


def test_answers_are_about_the_corpus_that_is_adapted_to(tmp_path):
    corpus = tmp_path / "corpus.csv"
    corpus.write_text("id,audio,text\na,a.wav,words\n")
    adapt = {"objective": "self_powered", "corpus": {"path": str(corpus)}}
    a_plan = plan(adapt=adapt, arms=ARMS, experiment={"arms": ["powered"]}, seeds=[1])
    (adapted,) = a_plan.variants["adapt_lm"].values()
    texts = adapted.upstream["answers"].upstream["texts"]
    assert texts.upstream["manifest"].settings.table.path == str(corpus)
    assert "codes" not in texts.upstream
    without = adapt | {"corpus": {"path": str(corpus), "columns": {"text": None}}}
    with pytest.raises(InputError, match=r"adapt\.corpus\.columns\.text is null"):
        plan(
            adapt=without,
            arms={"audio": {"select": "lasso", "inputs": ["audio"]}},
            experiment={"arms": ["audio"]},
        )


def test_a_table_without_transcripts_is_refused(table):
    dataset = leave_one_speaker_out(table)
    dataset["table"]["columns"] = {"group": "speaker", "text": None}
    arms = {"audio": {"select": "lasso", "inputs": ["audio"], "override": POWERED}}
    with pytest.raises(InputError, match=r"self_powered answers.*dataset\.table\.columns\.text"):
        plan(dataset=dataset, arms=arms, experiment={"arms": ["audio"]})


def test_what_a_file_of_instructions_holds_decides_and_not_where_it_lies(tmp_path):
    def answers(path):
        powered = {"objective": "self_powered", "self_powered": {"instructions": str(path)}}
        a_plan = plan(adapt=powered, arms=ARMS, experiment={"arms": ["powered"]}, seeds=[1])
        return a_plan, a_plan.keys("answer_instructions")

    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("about_speech: {repeat: [Again]}\nunrelated: [Go]\n")
    other.write_text(one.read_text())
    (a_plan, first), (_, same) = answers(one), answers(other)
    assert first == same
    assert f"the instructions {one}" in list(a_plan.watched())
    other.write_text("about_speech: {repeat: [Once more]}\nunrelated: [Go]\n")
    assert answers(other)[1] != first
    with pytest.raises(InputError, match="gone.yaml: no such file"):
        answers(tmp_path / "gone.yaml")


def test_mistakes_name_the_key():
    for adapt, message in (
        ({"objective": "self-powered"}, "adapt.objective: input should be 'language_modelling'"),
        ({"self_powered": {"answers": 1}}, "adapt.self_powered.answers: unknown key; did you mean"),
        ({"self_powered": {"max_new_tokens": 0}}, "adapt.self_powered.max_new_tokens: input"),
    ):
        with pytest.raises(InputError) as error:
            load_settings({"adapt": adapt})
        assert message in str(error.value)
