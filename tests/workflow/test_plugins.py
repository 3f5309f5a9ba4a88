"""The methods of docs/extending.md: planned, validated, computed, and part of the key."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from .conftest import REPOSITORY

EXTENDING = (REPOSITORY / "docs" / "extending.md").read_text()
MODULE, CONFIG = re.findall(r"```(?:python|yaml)\n(.*?)```", EXTENDING, flags=re.DOTALL)[:2]

OPTIONS = ("--configfile", "tiny.yaml", "plugged.yaml")


@pytest.fixture(scope="module")
def plugged(finished, tmp_path_factory):
    """A copy of the finished tiny run, whose counts serve here too."""
    workspace = finished.copy(tmp_path_factory.mktemp("plugins") / "plugged")
    (workspace.folder / "my_methods.py").write_text(MODULE)
    (workspace.folder / "plugged.yaml").write_text(CONFIG)
    return workspace


def test_a_users_own_methods_run_and_their_source_is_part_of_the_key(plugged):
    plugged.run(*OPTIONS)
    runs = pd.read_csv(plugged.folder / "results/experiments/plugged/runs.csv")
    assert set(runs["arm"]) == {"means", "counts"}
    assert set(runs.loc[runs["arm"] == "counts", "n_audio_tokens"]) == {11}  # of 2 x 16 every third
    assert plugged.planned_rules(*OPTIONS) == set()

    module = plugged.folder / "my_methods.py"
    module.write_text(MODULE.replace("distance.min", "0.5 * distance.min"))
    rerun = plugged.planned_rules(*OPTIONS)
    assert rerun == {
        *("fit_linear_nearest_mean", "select_tokens", "fit_linear"),
        *("evaluate", "summarise", "report", "all"),
    }
    module.write_text(MODULE)
    assert plugged.planned_rules(*OPTIONS) == set()


def test_mistakes_in_their_settings_are_told_as_in_our_own(plugged):
    mistakes = {
        "arms": {
            "means": {"system": "nearest_mean", "shrnk": 1},
            "other": {"system": "nearest_maen"},
        },
        "select": {"mine": {"method": "every_nth", "n": "x"}},
    }
    plugged.write("mistakes.yaml", mistakes)
    finished = plugged.snakemake(*OPTIONS, "mistakes.yaml", "--dry-run")
    assert finished.returncode != 0
    for message in (
        "arms.means.shrnk: unknown key; did you mean 'shrink'?",
        "arms.other.system: no system is called 'nearest_maen'; did you mean 'nearest_mean'?",
        "select.mine.n: input should be a valid integer",
    ):
        assert message in finished.stdout


def test_a_module_that_cannot_be_imported_is_named(plugged):
    plugged.write("missing.yaml", {"plugins": ["no_such_methods"]})
    finished = plugged.snakemake(*OPTIONS, "missing.yaml", "--dry-run")
    assert finished.returncode != 0
    assert "no_such_methods: ModuleNotFoundError" in finished.stdout
