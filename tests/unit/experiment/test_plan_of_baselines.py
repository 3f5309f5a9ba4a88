"""Plans of the baselines: what they read, share and leave alone."""

from __future__ import annotations

import pytest
from plans import keys_by_stage, plan

from speechlasso.errors import InputError

BASELINES = ["mfcc_linear", "mfcc_lstm", "text_ssl"]


def variants_of(a_plan, arm):
    (run,) = [run for run in a_plan.runs if run.arm == arm and run.seed == a_plan.runs[0].seed]
    return {variant.stage: variant for variant in run.with_ancestors()}


def test_frames_are_made_once_for_all_that_read_them():
    a_plan = plan(experiment={"arms": [*BASELINES, "pooled_linear"]})
    found = {arm: variants_of(a_plan, arm)["encode_audio"] for arm in (*BASELINES, "pooled_linear")}
    assert found["mfcc_linear"].key == found["mfcc_lstm"].key
    assert found["mfcc_linear"].key.startswith("spectral-")
    assert found["text_ssl"].key == found["pooled_linear"].key
    assert len(a_plan.keys("encode_audio")) == 2
    # No pretrained model stands behind acoustics, and no codes behind any of them.
    assert "packaged_models" not in found["mfcc_linear"].spec
    assert not a_plan.keys("tokenize_audio") and not a_plan.keys("select_tokens")


def test_acoustics_do_not_depend_on_the_experiments_encoder():
    arms = {"experiment": {"arms": ["mfcc_lstm", "mfcc_linear"]}}
    before = keys_by_stage(plan(**arms))
    assert keys_by_stage(plan(**arms, encoder={"layers": "all", "padding": "window"})) == before
    spectral = plan(experiment={"arms": ["pooled_linear"]}, encoder={"model": "spectral"})
    assert set(spectral.keys("encode_audio")) == before["encode_audio"]
    with pytest.raises(InputError, match=r"\[2\] are not among the layers \[0\]"):
        plan(
            experiment={"arms": ["bow_linear"]},
            encoder={"model": "spectral"},
            tokenizer={"method": "hidden_state_codes", "layers": [2]},
        )


def test_an_lstm_reads_no_words_and_no_language_model():
    settings = {"experiment": {"arms": ["mfcc_lstm"]}}
    before = keys_by_stage(plan(**settings))
    for section in ({"lm": {"name": "other/model"}}, {"bow": {"lowercase": False}}):
        assert keys_by_stage(plan(**settings, **section)) == before
    assert keys_by_stage(plan(**settings, finetune={"method": "lora"})) == before
    assert keys_by_stage(plan(**settings, finetune={"batch_size": 8})) != before
