"""Plans of several folds."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from plans import keys_by_stage, leave_one_speaker_out, plan

from speechlasso.errors import InputError
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings


def test_leave_one_group_out_makes_one_fold_per_group(table):
    a_plan = plan(dataset=leave_one_speaker_out(table), audio={"shard_size": 5})
    assert {run.fold for run in a_plan.runs} == {"s0", "s1", "s2"}
    assert len(a_plan.keys("fit_tokenizer")) == 3
    assert {len(a_plan.shards(codes)) for codes in a_plan.variants["tokenize_audio"].values()} == {
        3
    }


def test_no_two_folds_share_what_is_learned_or_scored(table):
    """Not even text alone, whose examples differ in nothing but their fold."""
    runs = plan(dataset=leave_one_speaker_out(table), seeds=[1]).runs
    for arm in {run.arm for run in runs}:
        of_arm = [run.folders() for run in runs if run.arm == arm]
        assert len(of_arm) == 3
        for stage in of_arm[0].keys() - {"manifest", "folds", "frames"}:
            assert len({folders[stage] for folders in of_arm}) == 3, (arm, stage)


def test_running_one_fold_alone_shares_its_folders(table):
    all_folds = keys_by_stage(plan(dataset=leave_one_speaker_out(table)))
    one = keys_by_stage(plan(dataset=leave_one_speaker_out(table, only=["s1"])))
    assert all(one[stage] <= all_folds[stage] for stage in one)
    assert len(one["build_bow"]) == 1


def test_no_name_of_the_users_leads_out_of_the_results(tmp_path):
    groups = ["../../x", "/etc", "$(touch x)", "`x`; x", "a\nb", "{x}", "=x()", "<script>"]
    rows = [(f"../{i}", "hello", groups[i % 2], "x.wav", groups[i % 8]) for i in range(32)]
    table = tmp_path / "$(touch x).csv"
    columns = ["id", "text", "label", "audio", "speaker"]
    pd.DataFrame(rows, columns=columns).to_csv(table, index=False)
    a_plan = plan(dataset=leave_one_speaker_out(str(table)), lm={"name": "../../$(touch x)"})
    assert {run.fold for run in a_plan.runs} == set(groups)
    folders = [
        variant.folder for of_stage in a_plan.variants.values() for variant in of_stage.values()
    ]
    assert [name for name in folders if not re.fullmatch(r"results/\w+/\w[\w.-]*", name)] == []


def test_an_unknown_fold_is_refused(table):
    with pytest.raises(InputError, match=r"dataset\.folds\.only: no fold is named 's9'"):
        plan(dataset=leave_one_speaker_out(table, only=["s9"]))


def test_a_pretrained_tokenizer_encodes_once_for_all_folds(tmp_path):
    dataset = {"folds": {"method": "grouped", "n_folds": 3}}
    learned = make_plan(Settings(dataset=dataset))
    assert len(learned.variants["tokenize_audio"]) == len(learned.variants["fit_tokenizer"]) == 3
    pretrained = make_plan(Settings(dataset=dataset, tokenizer={"method": "mimi"}))
    assert len(pretrained.variants["tokenize_audio"]) == 1
    assert not pretrained.variants["fit_tokenizer"]
