"""What jobs took, by Snakemake's benchmark files, and provenance.json as tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from speechlasso.evaluation.job_costs import costs_by_arm, costs_by_stage, read_jobs
from speechlasso.evaluation.provenance_tables import provenance_tables, unmeasured

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"


@pytest.fixture
def jobs(tmp_path):
    """Two arms; a job of both, one of each, one that is too short, one that left nothing, and one
    whose file is no benchmark."""
    written = {
        "shared": f"{HEAD}\n90.50\t0:01:30\t700.25\t1\t1\t1\t0\t0\t50\t40\n",
        "of_a": f"{HEAD}\n10.00\t0:00:10\t300.00\t1\t1\t1\t0\t0\t50\t9\n",
        "of_b": f"{HEAD}\n30.00\t0:00:30\t500.00\t1\t1\t1\t0\t0\t50\t9\n",
        "short": f"{HEAD}\n0.05\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n",
        "odd": "",
    }
    for name, text in written.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    stages = [
        *(("encode", ["a", "b"], "shared"), ("train", ["a"], "of_a"), ("train", ["b"], "of_b")),
        *(("score", ["a"], "short"), ("score", ["b"], "gone"), ("card", ["b"], "odd")),
    ]
    return read_jobs(
        {"stage": stage, "arms": arms, "benchmark": f"{tmp_path}/{name}.tsv"}
        for stage, arms, name in stages
    )


def test_stages_have_the_sum_mean_and_maximum_of_what_was_measured(jobs):
    found = costs_by_stage(jobs).set_index("stage")
    assert list(found.index) == ["encode", "train", "score", "card"]
    assert found["jobs"].tolist() == [1, 2, 2, 1]
    assert found["measured"].tolist() == [1, 2, 1, 0]
    assert found.loc["train"].tolist() == [2, 2, 40.0, 20.0, 30.0, 400.0, 500.0]
    assert found.loc["score", "seconds"] == 0.05
    assert np.isnan(found.loc["score", "max_memory_mb"]), "too short to be looked at"
    assert found.loc["card"].drop(["jobs", "measured"]).isna().all()


def test_a_shared_job_counts_for_each_arm_and_for_none_as_its_own(jobs):
    found = costs_by_arm(jobs).set_index("arm")
    assert found["jobs"].tolist() == [3, 4]
    assert found["seconds"].tolist() == pytest.approx([100.55, 120.5])
    assert found["own_seconds"].tolist() == pytest.approx([10.05, 30.0])
    assert found["max_memory_mb"].tolist() == [700.25, 700.25]


def records(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@pytest.fixture
def made(jobs):
    """provenance.json of these jobs."""
    costs = {"stages": records(costs_by_stage(jobs)), "arms": records(costs_by_arm(jobs))}
    return {
        "written": "2026-01-01T00:00:00+00:00",
        "versions": {"speechlasso": "0.1", "torch": "2.1, 2.2"},
        "workflow": {"commit": None, "changed": None, "told": "git is not installed"},
        "machine": {"system": "Linux", "processor": "P", "cores": 4, "memory_mb": 8192},
        "computed_with": {"device": {"A100": ["a"], "P": ["b"]}, "precision": {}},
        "files": [{"name": "table", "path": "my<b>.csv", "sha256": "12"}],
        "clips": {"results/manifest/m": {"n": 3, "missing": 1, "sha256": "34"}},
        "models": [{"role": "lm", "name": "owner/lm", "revision": "abc", "sha256": None}],
        "configuration": {"seeds": [1, 2], "lm": {"name": "é", "revision": None}, "arms": {}},
        "costs": costs,
    }


def test_provenance_as_tables(made):
    tables = provenance_tables(made)
    assert all(
        isinstance(cell, str) for table in tables.values() for cell in table.to_numpy().ravel()
    )
    stages = tables["What the stages took"].set_index("stage")
    assert stages.loc["encode", ["time", "most memory"]].tolist() == ["1.51 min", "700 MB"]
    assert stages.loc["card", ["jobs", "measured", "time"]].tolist() == ["1", "0", ""]
    versions = dict(tables["Versions and machine"].to_numpy())
    assert versions["commit of the workflow"] == "not known: git is not installed"
    assert versions["runs computed on"] == "A100 (a); P (b)"
    assert versions["this was written on"] == "P, 4 cores, 8 GB"
    assert tables["Data and models"].to_numpy().tolist() == [
        ["table", "my<b>.csv", "12"],
        ["clips", "3 of results/manifest/m, 1 of them missing", "34"],
        ["lm", "owner/lm, revision abc", ""],
    ]
    assert dict(tables["Configuration"].to_numpy()) == {
        **{"seeds": "[1, 2]", "lm.name": "é", "lm.revision": "null", "arms": "{}"},
    }


def test_jobs_that_nobody_measured_are_counted(made):
    assert unmeasured(made).startswith("Of 2 of 6 jobs nobody knows what they took")
    for stage in made["costs"]["stages"]:
        stage["measured"] = stage["jobs"]
    assert unmeasured(made) == ""
    assert "measured" not in provenance_tables(made)["What the stages took"]


def test_no_job_at_all():
    assert pd.DataFrame(costs_by_stage(read_jobs([]))).empty
