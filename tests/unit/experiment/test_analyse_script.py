"""Rule analyse on made runs of two folds: all its files, their bytes, and tables without audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rule_jobs import rule_job, run_script

from speechlasso.data.recorded_clips import CLIPS, RecordedClips
from speechlasso.data.utterance_sounds import MOST_SOUNDS
from speechlasso.digests import fingerprint
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.summary import read_table
from speechlasso.evaluation.without_audio import COLUMN
from speechlasso.files import write_csv, write_json, write_parquet

N_ROWS, CLASSES = 90, ["calm", "tense"]
READS = {"words": ["text"], "weak": ["audio"], "strong": ["audio", "text"]}
OUTPUTS = {
    "audio_effect": "audio_effect.csv",
    "errors": "errors.csv",
    "errors_by_group": "errors_by_group.csv",
    "groups": "groups.csv",
    "clips": "example_clips.parquet",
}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"id": [f"{number:03}" for number in range(N_ROWS)], "text": "so, NA"})
    rows["label"] = rng.choice(CLASSES, N_ROWS)
    rows["group"] = np.resize(["01", "02", "NA"], N_ROWS)
    rows["room"] = np.resize(["hall", "attic"], N_ROWS)
    for name in ("a", "b"):
        soundfile.write(f"{name}.wav", rng.normal(0, 0.1, 4000), 16_000)
    audio = [["a.wav", "b.wav"] if number % 3 else ["a.wav"] for number in range(N_ROWS)]
    write_parquet("results/m/manifest.parquet", rows.assign(audio=audio))
    marks = {name: fingerprint(name) for name in ("a.wav", "b.wav")}
    RecordedClips(marks).write(Path("results/m", CLIPS))
    write_json("results/fit/training.json", {})
    write_json("results/e/spec.json", {"settings": {"positive_label": None}})
    index = []
    for arm, right in (("words", 0.3), ("weak", 0.5), ("strong", 0.9)):
        for number, fold in enumerate(("x", "y")):
            split = np.where(np.arange(N_ROWS) % 2 == number, "test", "train")
            is_first = (rows["label"] == CLASSES[0]) == (rng.random(N_ROWS) < right)
            of_first = np.where(is_first, 1, -1) * rng.uniform(0, 0.5, N_ROWS) + 0.5
            frame = predictions_frame(
                rows.assign(split=split), np.stack([of_first, 1 - of_first], axis=1), CLASSES
            )
            if arm == "strong":
                frame.loc[split == "test", COLUMN] = "calm"
            write_parquet(f"results/{arm}-{fold}/predictions.parquet", frame)
            run = {"arm": arm, "fold": fold, "seed": 1, "predictions": f"results/{arm}-{fold}"}
            parts = {"training": "results/fit", "evaluation": "results/e", "manifest": "results/m"}
            index.append(run | parts)
    return index


def analyse(runs, reads, folder):
    outputs = {role: f"{folder}/{name}" for role, name in OUTPUTS.items()}
    # Scores as summarise wrote them: the arm that hears best is the one whose errors can be heard.
    best_last = [
        {"arm": arm, "metric": "accuracy", "mean": place} for place, arm in enumerate(reads)
    ]
    write_csv("summary.csv", pd.DataFrame(best_last))
    params = {"runs": runs, "reads": reads, "metric": "accuracy", "modules": [], "reference": None}
    run_script(
        rule_job("analyse", inputs={"summary": "summary.csv"}, outputs=outputs, params=params)
    )
    return {role: Path(path) for role, path in outputs.items()}


def test_all_files_of_several_folds(runs, logging_as_before):
    files = analyse(runs, READS, "one")
    errors = read_table(files["errors"])
    assert set(errors["reference"]) == {"words"} and set(errors["arm"]) == {"weak", "strong"}
    assert set(errors["fold"]) == {"x", "y"} and set(errors["room"]) == {"hall", "attic"}
    assert set(errors["group"]) == {"01", "02", "NA"} and set(errors["text"]) == {"so, NA"}
    assert set(errors["clip"]) == {"a.wav", "a.wav|b.wav"}
    heard = pd.read_parquet(files["clips"])
    best = errors[(errors["arm"] == "strong") & (errors["rank"] <= MOST_SOUNDS)]
    assert heard["id"].tolist() == best["id"].tolist() and len(best) > MOST_SOUNDS
    assert set(heard["seconds"]) == {0.25, 0.5}
    groups = read_table(files["groups"])
    assert list(groups) == ["arm", "column", "value", "n", "accuracy"]
    assert list(groups["column"].unique()) == ["group", "room", "length in seconds"]
    rooms = groups[(groups["column"] == "room") & (groups["arm"] == "strong")]
    assert rooms["n"].sum() == N_ROWS and (rooms["accuracy"] > 0.7).all()
    shares = read_table(files["errors_by_group"])
    of_strong = shares[(shares["arm"] == "strong") & (shares["column"] == "room")]
    mended = ((errors["arm"] == "strong") & (errors["kind"] == "mended")).sum()
    assert (of_strong["mended"] * of_strong["n"]).sum() == pytest.approx(mended)
    assert read_table(files["audio_effect"])["n"].tolist() == [N_ROWS / 2] * 2
    again = analyse(runs, READS, "two")
    assert all(files[role].read_bytes() == again[role].read_bytes() for role in files)


def test_a_table_of_text_alone(runs, logging_as_before):
    rows = pd.read_parquet("results/m/manifest.parquet").drop(columns=["audio", "group"])
    write_parquet("results/m/manifest.parquet", rows)
    runs = [run for run in runs if run["arm"] == "words"]
    files = analyse(runs, {"words": ["text"]}, "one")
    assert read_table(files["errors"]).empty and pd.read_parquet(files["clips"]).empty
    assert read_table(files["audio_effect"]).empty and read_table(files["errors_by_group"]).empty
    assert read_table(files["groups"])["column"].tolist() == ["room", "room"]


def test_a_clip_that_was_replaced_since(runs, logging_as_before):
    soundfile.write("b.wav", np.zeros(4000), 16_000)
    with pytest.raises(SystemExit):
        analyse(runs, READS, "one")
    assert "b.wav: is not the clip that the manifest lists" in Path("analyse.log").read_text()
