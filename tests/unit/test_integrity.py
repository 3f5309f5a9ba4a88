"""A bit that turned anywhere in a result is found, and its file is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from rule_jobs import rule_job
from safetensors.numpy import save_file

import speechlasso
from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.errors import InputError
from speechlasso.evaluation.run_predictions import read_predictions
from speechlasso.experiment.job import job
from speechlasso.files import (
    read_json,
    write_array,
    write_arrays,
    write_csv,
    write_json,
    write_parquet,
)
from speechlasso.integrity import record, require_intact, unreadable
from speechlasso.pipeline.observations import Observations
from speechlasso.pipeline.stages import FoldDivision, Manifest
from speechlasso.pipeline.variants import Variant

FOLDER = Path("results/any_stage/any-0123456789")
KINDS = {
    "table.parquet": lambda path: write_parquet(path, pd.DataFrame({"id": ["a", "b"], "p": 0.5})),
    "model.safetensors": lambda path: save_file({"bias": np.arange(9.0)}, path),
    "counts.npz": lambda path: sp.save_npz(path, sp.eye_array(4, format="csr")),
    "centroids.npy": lambda path: write_array(path, np.arange(6.0)),
    "selection.json": lambda path: write_json(path, {"tokens": [3, 14], "alpha": 0.25}),
    "training_log.csv": lambda path: write_csv(path, pd.DataFrame({"epoch": [1], "loss": [0.5]})),
    "wav/u0.wav": lambda path: path.write_bytes(bytes(range(256))),
}
WITH_FORM = [name for name in KINDS if not name.endswith((".csv", ".wav"))]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results with a file of each kind, and no record of them yet."""
    monkeypatch.chdir(tmp_path)
    (FOLDER / "wav").mkdir(parents=True)
    for name, write in KINDS.items():
        write(FOLDER / name)
    return FOLDER


def with_record(folder, outputs=()):
    write_json(folder / "spec.json", {"sha256": record(outputs, folder / "spec.json")})


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_the_record_has_every_file_of_the_job_and_none_of_others(results):
    for name in ("README.md", "spec.json", ".half-written.npz", "wav/.snakemake_timestamp"):
        (results / name).write_text("{}")
    (results / "clips").mkdir()
    (results / "clips/of_a_table.wav").write_text("sound")
    found = record([results / "table.parquet", results / "wav"], results / "spec.json")
    assert set(found) == set(KINDS)
    shard = results / "shard-0-of-2.parquet"
    KINDS["table.parquet"](shard)
    of_shard = record([shard, shard.with_suffix(".spec.json")], shard.with_suffix(".spec.json"))
    assert set(of_shard) == {shard.name}
    assert of_shard[shard.name] == found["table.parquet"]


@pytest.mark.parametrize("name", KINDS)
def test_any_bit_and_any_cut_is_found(results, name):
    path, rng = results / name, np.random.default_rng(7)
    with_record(results, [results / "wav"])
    declared = results / name.split("/")[0]
    require_intact([results, declared])
    whole = path.read_bytes()
    cuts = [whole[:length] for length in (0, len(whole) // 2, len(whole) - 1)]
    flips = []
    for bit in rng.integers(8 * len(whole), size=12):
        flip(path, int(bit))
        flips.append(path.read_bytes())
        path.write_bytes(whole)
    for damaged in (*cuts, *flips):
        path.write_bytes(damaged)
        for read in (results, declared):
            with pytest.raises(InputError, match=f"(?s)^Damaged: .*  - {path}\n.*{FOLDER}/spec"):
                require_intact([read])
    require_intact([results / other for other in KINDS if other != name])
    path.unlink()
    with pytest.raises(InputError, match=rf"{path} \(missing\)"):
        require_intact([results])


@pytest.mark.parametrize("name", WITH_FORM)
def test_a_cut_file_without_a_record_is_named_as_well(results, name):
    path = results / name
    write_json(results / "spec.json", {})
    require_intact([results, path])
    assert unreadable([results / other for other in KINDS]) is None
    path.write_bytes(path.read_bytes()[:-20])
    found = str(unreadable([results / other for other in KINDS]))
    assert found.startswith(f"Damaged: these files cannot be read:\n  - {path}: ")
    assert found.count("\n") == 2 and found.endswith(f"--forcerun {FOLDER}/spec.json")


def test_a_turned_bit_in_arrays_without_a_record_is_seen_by_their_checksum(results):
    path = results / "model.npz"
    write_arrays(path, {"weights": np.zeros(99)})
    write_json(results / "spec.json", {})
    assert unreadable([path]) is None
    flip(path, 4 * path.stat().st_size)
    assert f"  - {path}: weights.npy in it is damaged\n" in str(unreadable([path]))


def test_a_user_s_file_that_cannot_be_read_is_not_blamed(tmp_path):
    (tmp_path / "own.json").write_text("{")
    assert unreadable([tmp_path / "own.json"]) is None


# --- jobs


def run_job(inputs, body=lambda: None, **wildcards):
    """Run a job that writes folds.parquet; returns its log, and whether its body was run."""
    folder = "results/divide_folds/given-0"
    outputs = {"folds": f"{folder}/folds.parquet", "spec": f"{folder}/spec.json"}
    spec = Variant(FoldDivision(folds={})).spec
    snakemake = rule_job("divide_folds", inputs, outputs, {"spec": spec}, **wildcards)
    started = []
    try:
        with job(snakemake):
            started.append(True)
            body()
            KINDS["table.parquet"](Path(outputs["folds"]))
    except SystemExit as ended:
        assert ended.code == 1
    return Path("divide_folds.log").read_text(), bool(started)


def test_a_job_records_what_it_wrote(results, logging_as_before):
    log, _ = run_job({})
    assert "divide_folds done" in log
    spec = read_json("results/divide_folds/given-0/spec.json")
    folder = Path("results/divide_folds/given-0")
    assert spec["sha256"] == record([], folder / "spec.json")
    assert list(spec["sha256"]) == ["folds.parquet"] and spec["stage"] == "divide_folds"


def test_a_job_names_all_damaged_inputs_and_starts_nothing(results, logging_as_before):
    with_record(results, [results / "wav"])
    shard = Path("results/codes/c-1/shard-1-of-3.parquet")
    shard.parent.mkdir(parents=True)
    KINDS["table.parquet"](shard)
    of_shard = shard.with_suffix(".spec.json")
    write_json(of_shard, {"sha256": record([shard], of_shard)})
    inputs = {"model": f"{results}/model.safetensors", "codes": [str(shard)], "w": f"{results}/wav"}
    log, started = run_job(inputs)
    assert started and "done in" in log
    damaged = [results / "model.safetensors", shard, results / "wav/u0.wav"]
    for path in damaged:
        flip(path, 100)
    log, started = run_job(inputs)
    assert not started and "Traceback" not in log
    assert [line for line in log.splitlines() if "  - " in line] == [f"  - {p}" for p in damaged]
    assert f": snakemake --cores all --forcerun {results}/spec.json {of_shard}\n" in log
    # What the job does not read is none of its business.
    assert run_job({"table": f"{results}/table.parquet"})[1]


def test_of_shards_divided_like_its_own_work_a_job_looks_at_its_own(results, logging_as_before):
    shards = [Path(f"results/frames/f-1/shard-{i}-of-2.safetensors") for i in range(2)]
    shards[0].parent.mkdir(parents=True)
    for shard in shards:
        KINDS["model.safetensors"](shard)
        spec = shard.with_suffix(".spec.json")
        write_json(spec, {"sha256": record([shard], spec)})
    flip(shards[1], 900)
    inputs = {"frames": list(map(str, shards))}
    assert run_job(inputs, shard="0", n_shards="2")[1]
    assert not run_job(inputs, shard="1", n_shards="2")[1]
    assert not run_job(inputs, shard="0", n_shards="3")[1]
    assert not run_job(inputs)[1]


def test_a_model_s_whole_folder_is_looked_at(results, logging_as_before):
    with_record(results)
    inputs = {"training": [f"{results}/model.safetensors"]}
    assert run_job(inputs)[1]
    flip(results / "selection.json", 5)  # which no card lists
    log, started = run_job(inputs)
    assert not started and f"  - {results}/selection.json\n" in log


def test_a_job_that_fails_for_a_cut_file_without_record_shows_no_traceback(
    results, logging_as_before
):
    write_json(results / "spec.json", {})
    path = results / "counts.npz"
    path.write_bytes(path.read_bytes()[:-30])
    log, started = run_job({"bow": str(path)}, body=lambda: sp.load_npz(path))
    assert started and "Traceback" not in log
    assert f"Damaged: these files cannot be read:\n  - {path}: File is not a zip file\n" in log
    # A fault of the body's own still shows where it is.
    log, _ = run_job({"other": f"{results}/table.parquet"}, body=lambda: {}["no such key"])
    assert "Traceback" in log and "no such key" in log


# --- readers outside of jobs


def test_a_trained_model_is_not_opened_with_damaged_files(results):
    with_record(results)
    with pytest.raises(InputError, match="not a trained model"):
        speechlasso.load(results)
    flip(results / "model.safetensors", 700)
    with pytest.raises(InputError) as raised:
        speechlasso.load(results)
    message = str(raised.value)
    assert f"  - {results}/model.safetensors\nCopy the folder again" in message
    assert f"--forcerun results/finetune/{FOLDER.name}/spec.json" in message


def test_comparing_runs_reads_no_damaged_predictions(results, tmp_path):
    run = {"predictions": str(results)}
    KINDS["table.parquet"](results / "predictions.parquet")
    assert len(read_predictions(run, tmp_path)) == 2
    with_record(results)
    flip(results / "predictions.parquet", 300)
    with pytest.raises(InputError, match=rf"(?s)Damaged: .*predictions\.parquet\n.* {FOLDER}/spec"):
        read_predictions(run, tmp_path)


def test_planning_reads_no_damaged_clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = Variant(Manifest(table={"path": "table.csv"}))
    folder = Path(manifest.folder)
    RecordedClips({}).write(folder / "clips.parquet")
    with_record(folder)
    assert Observations().clips(manifest)["n"] == 0
    flip(folder / "clips.parquet", 3000)
    command = f"snakemake --cores all --forcerun {folder}/clips.parquet"
    with pytest.raises(InputError, match=f"(?s)Damaged: .*\nRemove it, then .*{command}"):
        Observations().clips(manifest)
    # Without a record it is named as soon as it cannot be read.
    write_json(folder / "spec.json", {})
    (folder / "clips.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=rf"^{folder}/clips\.parquet: damaged, it cannot be read"):
        Observations().clips(manifest)
