"""Tokenizers in the workflow: what learns sees training clips only, the rest encodes once."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import soundfile

from speechlasso.tokenizers.codes import CodeTable
from tests.unit import tiny_codecs

from .conftest import Workspace

UNTIL_CODES = ("--until", "tokenize_audio")
N_CLIPS = 12
TEST_CLIPS = range(9, N_CLIPS)


@pytest.fixture
def recordings(workspace) -> Workspace:
    """A workspace with a table of recordings, of which the last three are for the test."""
    rows = []
    for number in range(N_CLIPS):
        _write_clip(workspace, number, seed=number)
        split = ["train", "train", "validation", "test"][number // 3]
        rows.append([f"u{number}", f"u{number}.wav", "words", "ab"[number % 2], split])
    columns = ["id", "audio", "text", "label", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(workspace.folder / "table.csv", index=False)
    table = {"path": "table.csv", "columns": {"split": "split"}}
    config = {
        "experiment": {"arms": ["bow_linear"]},
        "dataset": {"source": "table", "table": table},
        "audio": {"shard_size": 5},
        "tokenizer": {"method": "spectral_rvq", "codebook_size": 8},
    }
    workspace.write("mine.yaml", config)
    return workspace


def _write_clip(workspace: Workspace, number: int, seed: int) -> None:
    sound = tiny_codecs.sound(seed, 12_000)
    soundfile.write(workspace.folder / f"u{number}.wav", sound, 16_000, subtype="FLOAT")


def _codes(workspace: Workspace) -> dict[str, list]:
    """Those written last."""
    folders = workspace.folder.glob("results/tokenize_audio/*")
    shards = sorted(max(folders, key=lambda f: f.stat().st_mtime).glob("shard-*.parquet"))
    return {row_id: codes.tolist() for row_id, codes in CodeTable.read(shards).codes.items()}


def _settings(**tokenizer: object) -> tuple[str, ...]:
    return "--configfile", "mine.yaml", "--config", f"tokenizer={json.dumps(tokenizer)}"


@pytest.mark.parametrize("method", ["spectral_rvq", "ssl_units"])
def test_other_test_clips_change_no_code_of_the_training_rows(recordings, tmp_path, method):
    settings = _settings(method=method)
    if method == "ssl_units":
        model = tiny_codecs.save(tmp_path / "model", tiny_codecs.hubert)
        settings = _settings(method=method, model=model, layer=2, codebook_size=8)
        settings += ("audio={shard_size: 100}",)  # one start of torch, not three
    recordings.run(*settings, *UNTIL_CODES)
    before = _codes(recordings)
    pattern = "results/fit_tokenizer/*/tokenizer.safetensors"
    (tokenizer,) = recordings.folder.glob(pattern)
    for number in TEST_CLIPS:
        _write_clip(recordings, number, seed=100 + number)
    recordings.run(*settings, *UNTIL_CODES)
    (fitted_anew,) = set(recordings.folder.glob(pattern)) - {tokenizer}
    assert fitted_anew.read_bytes() == tokenizer.read_bytes()
    after = _codes(recordings)
    changed = {row_id for row_id in before if before[row_id] != after[row_id]}
    assert changed == {f"u{number}" for number in TEST_CLIPS}


def test_a_pretrained_codec_encodes_once_and_says_from_which_files(recordings, tmp_path):
    model = tiny_codecs.save(tmp_path / "model", tiny_codecs.dac)
    settings = _settings(method="dac", model=model)
    assert "fit_tokenizer" not in recordings.planned_rules(*settings)
    recordings.run(*settings, *UNTIL_CODES)
    specs = sorted(recordings.folder.glob("results/tokenize_audio/dac-*/shard-*.spec.json"))
    assert len(specs) == 3
    recorded = json.loads(specs[0].read_text())["data"]
    assert {"model/model.safetensors", "model/config.json"} <= set(recorded)
    assert all(len(digest) == 64 for digest in recorded.values())
    # Folds play no part, and alphas neither.
    others = "dataset={folds: {method: stratified, n_folds: 3}}", "select={lasso: {alpha: 0.1}}"
    assert "tokenize_audio" not in recordings.planned_rules(*settings, *others)


def test_shards_do_not_show_in_the_codes(recordings):
    recordings.run("--configfile", "mine.yaml", *UNTIL_CODES)
    in_shards = _codes(recordings)
    (codes,) = recordings.folder.glob("results/tokenize_audio/*")
    codes.rename(recordings.folder / "kept")
    recordings.run("--configfile", "mine.yaml", *UNTIL_CODES, "--config", "audio={shard_size: 100}")
    assert _codes(recordings) == in_shards


def test_a_missing_checkpoint_is_named_before_anything_runs(recordings):
    files = {"checkpoint": "no/such.pt", "config": "no/such.json"}
    finished = recordings.snakemake(*_settings(method="speechtokenizer", **files))
    assert finished.returncode != 0
    assert "no/such.pt" in finished.stdout and "no/such.json" in finished.stdout
    assert "Traceback" not in finished.stdout
    assert not list(recordings.folder.glob("results/*/"))
