"""What a plan says of missing results: whether the next run would make them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from plans import leave_results, plan

from speechlasso.experiment.states import CACHED, NOT_NEEDED, TO_BE_RUN, states, unneeded_files

ARMS = {"arms": ["lasso", "bow_linear"]}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = plan(experiment=ARMS, seeds=[1])
    leave_results(found)
    assert set(states(found).values()) == {CACHED}
    return found


def stages_by_state(a_plan):
    found = {}
    for folder, state in states(a_plan).items():
        found.setdefault(state, set()).add(folder.split("/")[1])
    return found


def folder_of(a_plan, stage):
    (variant,) = a_plan.variants[stage].values()
    return Path(variant.folder)


def test_what_nothing_is_made_of_any_more_is_not_needed(finished):
    for stage in ("build_bow", "tokenize_audio"):
        shutil.rmtree(folder_of(finished, stage))
    found = stages_by_state(finished)
    assert found[NOT_NEEDED] == {"build_bow", "tokenize_audio"}
    assert TO_BE_RUN not in found
    codes, bow = unneeded_files(finished)
    assert bow == [f"{folder_of(finished, 'build_bow')}/spec.json"]
    assert codes == finished.shards(*finished.variants["tokenize_audio"].values())


def test_what_a_new_variant_reads_is_made_and_so_is_all_that_reads_it(finished):
    shutil.rmtree(folder_of(finished, "build_bow"))
    shutil.rmtree(folder_of(finished, "encode_audio"))
    other = plan(experiment=ARMS, seeds=[1], select={"lasso": {"alpha": 3}})
    found = stages_by_state(other)
    assert {"select_tokens", "build_bow", "fit_path", "fit_linear"} <= found[TO_BE_RUN]
    assert {"tokenize_audio", "demo_corpus"} <= found[CACHED], "its reader made nothing new of it"
    assert found[NOT_NEEDED] == {"encode_audio"}


def test_the_tables_and_cards_read_results_too(finished):
    evaluated = {folder: s for folder, s in states(finished).items() if "/evaluate/" in folder}
    assert len(evaluated) == 2
    for folder in evaluated:
        shutil.rmtree(folder)
    assert stages_by_state(finished)[NOT_NEEDED] == {"evaluate"}
    Path("results/experiments/demo/runs.csv").unlink()
    assert stages_by_state(finished)[TO_BE_RUN] == {"evaluate"}
    # Of more runs than the tables have.
    leave_results(finished)
    more = plan(experiment=ARMS, seeds=[1, 2])
    new = set(states(more)) - set(states(finished))
    assert {folder for folder, state in states(more).items() if state == TO_BE_RUN} == new


def test_a_model_with_a_card_is_made_again_with_it(finished):
    shutil.rmtree(folder_of(finished, "fit_linear"))
    assert stages_by_state(finished)[NOT_NEEDED] == {"fit_linear"}
    shutil.rmtree(folder_of(finished, "finetune"))
    # Its scores change the tables, which read the other arm's model.
    due = {"finetune", "predict", "evaluate", "fit_linear"}
    assert stages_by_state(finished)[TO_BE_RUN] == due


def test_a_single_file_can_be_missing(finished):
    (folder_of(finished, "predict") / "predictions.parquet").unlink()
    assert stages_by_state(finished)[NOT_NEEDED] == {"predict"}
    (codes,) = finished.variants["tokenize_audio"].values()
    Path(finished.shards(codes)[0]).unlink()
    assert stages_by_state(finished)[NOT_NEEDED] == {"predict", "tokenize_audio"}
