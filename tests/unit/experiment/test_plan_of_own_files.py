"""Plans follow the content of the user's own table, clips and model."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from plans import AFTER_SELECTION, changed_stages, keys_by_stage, plan

from speechlasso.data.recorded_clips import CLIPS, RecordedClips, checked_and_recorded
from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings
from speechlasso.files import write_json
from speechlasso.pipeline.observations import Observations


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """Settings of an experiment on a table of three clips, with a local language model."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        soundfile.write(f"{name}.wav", np.full(1000, 0.1 * ord(name) % 1), 16_000)
    with open("table.csv", "w") as table:
        table.write("id,audio,text,label,split\n")
        table.writelines(f"{name},{name}.wav,word,x,train\n" for name in "abc")
    os.mkdir("lm")
    for name in ("config.json", "model.safetensors", "README.md"):
        Path("lm", name).write_text("old")
    return {
        "dataset": {
            "source": "table",
            "table": {"path": "table.csv", "columns": {"split": "split"}},
        },
        "lm": {"name": "lm"},
        "seeds": [1],
    }


def record_clips(a_plan):
    """Leave what the manifest's job leaves of the clips."""
    (key,) = a_plan.keys("manifest")
    clips = {}
    check = checked_and_recorded(clips)
    for name in "abc":
        check(f"{name}.wav")
    RecordedClips(clips).write(Path(a_plan["manifest", key].folder, CLIPS))


def test_another_table_changes_every_stage_and_the_old_one_finds_its_folders(own_data):
    before = plan(**own_data)
    old = Path("table.csv").read_text()
    Path("table.csv").write_text(old.replace(",x,", ",y,"))
    os.utime("table.csv", (1, 1))
    assert changed_stages(before, plan(**own_data)) == set(AFTER_SELECTION) | {
        *("manifest", "divide_folds", "encode_audio", "fit_tokenizer", "tokenize_audio"),
        *("build_bow", "fit_path"),
    }
    Path("table.csv").write_text(old)
    assert changed_stages(before, plan(**own_data)) == set()


def test_another_model_changes_what_is_trained_from_it(own_data):
    before = plan(**own_data)
    Path("lm/model.safetensors").write_text("new")
    changed = {"adapt_lm", "finetune", "predict", "evaluate"}
    assert changed_stages(before, plan(**own_data)) == changed
    Path("lm/model.safetensors").write_text("old")
    Path("lm/README.md").write_text("new")
    assert changed_stages(before, plan(**own_data)) == set()


def test_another_clip_changes_every_stage_and_the_old_one_finds_its_folders(own_data):
    before = plan(**own_data)
    record_clips(before)
    assert changed_stages(before, plan(**own_data)) == set()
    old = Path("b.wav").read_bytes()
    shutil.copy("a.wav", "b.wav")
    changed = plan(**own_data)
    assert "manifest" in changed_stages(before, changed)
    # The old manifest's folder is where changes are noticed: it is no folder to prune.
    assert {f"results/manifest/{key}" for key in before.keys("manifest")} < (
        changed.reached_folders()
    )
    assert list(changed.watched()) == [
        "the table table.csv",
        "3 clips, of which 1 changed since they were recorded",
        "the model files lm",
    ]
    os.remove("b.wav")
    missing = plan(**own_data)
    assert len({a_plan.keys("manifest")[0] for a_plan in (before, changed, missing)}) == 3
    Path("b.wav").write_bytes(old)
    assert changed_stages(before, plan(**own_data)) == set()


def test_other_clips_change_what_a_system_learns_and_predicts_that_hears_them_itself(own_data):
    own_data |= {"experiment": {"arms": ["speech_lm"]}}
    before = plan(**own_data)
    record_clips(before)
    (training,) = before.variants["finetune"].values()
    (prediction,) = before.variants["predict"].values()
    for reader in (training, prediction):
        manifest = reader.upstream["clips"]
        assert manifest.settings.files_read("clips") == (CLIPS,)
        assert manifest.key == reader.upstream["manifest"].key
    shutil.copy("a.wav", "b.wav")
    changed = changed_stages(before, plan(**own_data))
    assert changed == {
        *("manifest", "divide_folds", "token_texts", "finetune", "predict", "evaluate")
    }


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_planned_in_ten_seconds(own_data):
    names = [f"clips/{number}.wav" for number in range(100_000)]
    with open("table.csv", "w") as table:
        table.write("id,audio,text,label,split\n")
        table.writelines(f"{name},{name},some words,x,train\n" for name in names)
    (key,) = plan(**own_data).keys("manifest")
    # Clips that are not there are looked for as others are.
    RecordedClips(dict.fromkeys(names)).write(f"results/manifest/{key}/{CLIPS}")
    started = time.process_time()
    assert "100000 clips, of which 0 changed" in " ".join(plan(**own_data).watched())
    assert time.process_time() - started < 10


def test_jobs_plan_from_what_the_run_wrote_down_without_any_of_the_files(own_data):
    record_clips(plan(**own_data))
    shutil.copy("a.wav", "b.wav")
    by_run = plan(**own_data)
    by_run.observations.write("observed.json")
    settings = load_settings(merged(Settings().model_dump(), own_data))
    for path in ("a.wav", "b.wav", "c.wav", "table.csv"):
        os.remove(path)
    by_job = make_plan(settings, Observations("observed.json"))
    assert keys_by_stage(by_job) == keys_by_stage(by_run)
    assert by_job.n_rows == by_run.n_rows
    write_json("observed.json", {"folds": ["given"]})
    with pytest.raises(InputError, match=r"observed\.json: is of another configuration"):
        make_plan(settings, Observations("observed.json"))
