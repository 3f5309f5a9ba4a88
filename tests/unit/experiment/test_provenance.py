"""What provenance.json says of an experiment."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import results
from plans import leave_results
from rule_jobs import SCRIPTS, rule_job, run_script

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.digests import fingerprint
from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.provenance import planned, provenance
from speechlasso.experiment.settings import Settings
from speechlasso.files import read_json

BENCHMARK = "s\th:m:s\tmax_rss\n2.50\t0:00:02\t100.00\n"
OLD = {"python": "3.0", "torch": "2.1"}
SECRETS = ["hf_" + "a" * 30, "very-private"]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Two arms on a table with two clips, all of it run; the models came from elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(f"{name}.wav").write_bytes(name.encode())
    Path("table.csv").write_text("id,audio,text,label\nu1,a.wav,word,x\nu2,b.wav,other,y\n")
    settings = load_settings(
        merged(
            Settings().model_dump(),
            {
                "experiment": {"name": "mine", "arms": ["text_only", "bow_linear"]},
                "dataset": {
                    "source": "table",
                    "table": {"path": "table.csv", "audio_root": f"https://me:{SECRETS[1]}@host/"},
                    "folds": {"method": "stratified", "n_folds": 3},
                },
                "lm": {"name": "owner/lm", "revision": SECRETS[0]},
                "audio": {"shard_size": 1},
                "seeds": [1, 2],
            },
        )
    )
    plan = make_plan(settings)
    leave_results(plan)
    (clips,) = plan.clip_records()
    RecordedClips({f"{name}.wav": fingerprint(f"{name}.wav") for name in ("a", "b")}).write(clips)
    found = planned(plan, settings)
    for job in found["jobs"]:
        if job["stage"] != "finetune":
            Path(job["benchmark"]).parent.mkdir(parents=True, exist_ok=True)
            Path(job["benchmark"]).write_text(BENCHMARK)
    return plan, found


def test_every_job_has_the_benchmark_of_its_rule(experiment):
    plan, found = experiment
    rules = "".join(path.read_text() for path in (SCRIPTS.parent / "rules").glob("*.smk"))
    for stage, variants in plan.variants.items():
        jobs = [job for job in found["jobs"] if job["stage"] == stage]
        is_sharded = stage in ("tokenize_audio", "encode_audio")
        assert len(jobs) == len(variants) * (2 if is_sharded else 1)
        part = "-{shard}-of-{n_shards}" if is_sharded else ""
        assert not jobs or f'"benchmarks/{stage}/{{{stage}}}{part}.tsv"' in rules
    (key,) = plan.variants["encode_audio"]
    of_frames = [job["benchmark"] for job in found["jobs"] if job["stage"] == "encode_audio"]
    assert of_frames == [f"benchmarks/encode_audio/{key}-{i}-of-2.tsv" for i in (0, 1)]
    for job in found["jobs"]:
        key = re.match(r"(.*?)(-\d+-of-\d+|-card)?\.tsv", job["benchmark"].split("/", 1)[1])[1]
        needed_by = {run.arm for run in plan.runs if f"results/{key}" in run.all_folders()}
        assert set(job["arms"]) == needed_by != set()
    arms = {job["stage"]: job["arms"] for job in found["jobs"]}
    assert arms["manifest"] == ["text_only", "bow_linear"]
    assert arms["model_card"] == arms["adapt_lm" if "adapt_lm" in arms else "finetune"]
    assert arms["fit_linear"] == ["bow_linear"]


def test_the_record(experiment, tmp_path):
    _, found = experiment
    environments = {
        "text_only": {**OLD, "device": "A100"},
        "bow_linear": {"python": "3.0", "device": "CPU"},
    }
    runs = [replace(run, environment=environments[run.arm]) for run in results(environments)]
    record = provenance(found, runs, tmp_path)
    text = json.dumps(record, allow_nan=False)
    assert not [secret for secret in SECRETS if secret in text]
    assert record["configuration"]["dataset"]["table"]["audio_root"] == "https://***@host/"
    assert record["design"] == {
        "arms": ["text_only", "bow_linear"],
        "folds": ["0", "1", "2"],
        "seeds": [1, 2],
        "runs": 12,
    }
    digest = hashlib.sha256(Path("table.csv").read_bytes()).hexdigest()
    assert {"name": "table", "path": "table.csv", "sha256": digest} in record["files"]
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()} {name}.wav" for name in ("a", "b")]
    (clips,) = record["clips"].values()
    joint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert clips == {"n": 2, "missing": 0, "sha256": joint}
    assert {model["name"] for model in record["models"]} >= {"owner/lm"}
    assert record["computed_with"]["device"] == {"A100": ["text_only"], "CPU": ["bow_linear"]}
    assert record["differences"] == ["device: A100 (text_only); CPU (bow_linear)"]
    # What this process has loaded besides comes later in the order of names.
    assert all(record["versions"][name].split(", ")[0] == old for name, old in OLD.items())
    assert record["workflow"]["told"] == "the workflow's folder is not a git repository"
    stages = {stage["stage"]: stage for stage in record["costs"]["stages"]}
    assert stages["encode_audio"]["seconds"] == 5.0
    assert stages["finetune"]["measured"] == 0 and stages["finetune"]["seconds"] is None


def test_the_script_writes_it(experiment):
    _, found = experiment
    params = {"runs": [], "planned": found}
    outputs = {"provenance": "provenance.json"}
    run_script(rule_job("provenance", inputs={}, outputs=outputs, params=params))
    record = read_json("provenance.json")
    assert record["experiment"] == "mine"
    # Of this checkout, where tests run in one.
    workflow = record["workflow"]
    assert workflow["told"] or len(workflow["commit"]) == 40
