"""How long the report takes, and how much memory: 20 runs, 5,000 test rows.

    PYTHONPATH=workflow_scripts python bench/report.py

makes the files that the rule report reads (metrics, tables, errors, sounds, training logs, paths),
has a process of its own read them and write the page and its figures, and prints as the last line
one JSON object: seconds, peak memory in MB, sizes of the page and of the figures in MB.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.summary import read_run, runs_table, summary_table
from speechlasso.files import write_csv, write_json, write_parquet, write_text
from speechlasso.report.page import render_report
from speechlasso.report.reading import read_evidence

ARMS = ("text_only", "lasso", "random", "bow", "fusion")
FOLDS, SEEDS = ("01", "02"), (1, 2)
N_ROWS, N_TOKENS, N_LAYERS = 5000, 200, 8
CLASSES = ("anger", "boredom", "disgust", "fear", "joy", "neutral", "sadness")
RANDOM = np.random.default_rng(1)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = make_files(Path(folder))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(json.dumps(pool.apply(build, (folder, made))))


def build(folder: str, made: dict) -> dict[str, float]:
    started = time.perf_counter()
    report = render_report(read_evidence(**made))
    write_text(Path(folder, "report.html"), report.html)
    for name, content in report.figures.items():
        write_text(Path(folder, "figures", name), content)
    assert "torch" not in sys.modules
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "page_mb": round(len(report.html.encode()) / 1e6, 1),
        "figures": len([name for name in report.figures if name.endswith(".svg")]),
        "figures_mb": round(sum(map(len, report.figures.values())) / 1e6, 1),
    }


def make_files(folder: Path) -> dict:
    """What `read_evidence` is to be called with."""
    index = [
        {"arm": arm, "fold": fold, "seed": seed} | _run_folders(folder, arm, fold, seed)
        for arm in ARMS
        for fold in FOLDS
        for seed in SEEDS
    ]
    runs = runs_table([read_run(**run) for run in index])
    errors = _errors()
    tables = {
        "runs": runs,
        "summary": summary_table(runs),
        "errors": errors,
        "audio_effect": _audio_effect(),
        "groups": _groups(),
    }
    files = {name: str(folder / f"{name}.csv") for name in tables}
    for name, table in tables.items():
        write_csv(files[name], table)
    files["clips"] = str(folder / "example_clips.parquet")
    shown = errors["id"].unique()[:40]
    write_parquet(files["clips"], pd.DataFrame({"id": shown, "sound": [_sound(4)] * len(shown)}))
    described = [_description(folder, arm) for arm in ("lasso", "random", "bow")]
    logs = {arm: [run["training"] + "/training_log.csv" for run in index] for arm in ARMS[:3]}
    return {
        **{"experiment": "bench", "files": files, "runs": index, "described": described},
        "training_logs": logs,
    }


def _run_folders(folder: Path, arm: str, fold: str, seed: int) -> dict[str, str]:
    names = ("evaluation", "training", "select")
    folders = {name: str(folder / f"{name}-{arm}-{fold}-{seed}") for name in names}
    rows = pd.DataFrame({"split": ["test"] * N_ROWS + ["validation", "train"] * 500})
    rows["id"] = [f"u{number}" for number in range(len(rows))]
    rows["label"] = RANDOM.choice(CLASSES, len(rows))
    probabilities = RANDOM.dirichlet(np.ones(len(CLASSES)), len(rows))
    predictions = predictions_frame(rows, probabilities, list(CLASSES))
    write_json(f"{folders['evaluation']}/metrics.json", evaluate(predictions, None))
    write_json(f"{folders['training']}/training.json", {"train_seconds": RANDOM.uniform(1, 500)})
    epochs = np.arange(1, 21)
    log = pd.DataFrame({"epoch": epochs, "train_loss": 2 / epochs, "macro_f1": 0.7 - 0.5 / epochs})
    write_csv(f"{folders['training']}/training_log.csv", log)
    tokens = [{"layer": place % N_LAYERS} for place in range(N_TOKENS)]
    write_json(f"{folders['select']}/selection.json", {"tokens": tokens, "alpha": 7.5})
    return folders


def _description(folder: Path, arm: str) -> dict[str, str]:
    where = folder / f"description-{arm}"
    tokens = pd.DataFrame({"rank": range(N_TOKENS), "weight": RANDOM.random(N_TOKENS)})
    tokens = tokens.assign(layer=tokens["rank"] % N_LAYERS, code=tokens["rank"])
    weights = RANDOM.normal(size=(N_TOKENS, len(CLASSES)))
    tokens[[f"weight_{name}" for name in CLASSES]] = weights
    places = [(rank, place) for rank in range(50) for place in range(1, 11)]
    listening = pd.DataFrame(places, columns=["rank", "place"])
    listening = listening.assign(id="u1", start=0.5, end=1.0, sound=[_sound(1)] * len(listening))
    write_parquet(where / "tokens.parquet", tokens)
    write_parquet(where / "listening.parquet", listening)
    sizes = np.arange(50)
    path = pd.DataFrame({"alpha": np.geomspace(100, 1, 50), "n_audio": sizes**2, "n_text": sizes})
    write_parquet(where / "path.parquet", path.assign(holdout_uar=0.5 + sizes / 200))
    return {"arm": arm, "fold": "01", "description": str(where), "path": str(where)}


def _sound(seconds: float) -> bytes:
    stream = io.BytesIO()
    noise = 0.1 * RANDOM.normal(size=int(16_000 * seconds))
    soundfile.write(stream, noise, 16_000, format="MP3", compression_level=0.9)
    return stream.getvalue()


def _errors() -> pd.DataFrame:
    n = N_ROWS // 4
    rows = pd.DataFrame({"id": [f"u{number}" for number in range(n)], "rank": range(1, n + 1)})
    rows["kind"] = np.where(rows["rank"] % 2, "mended", "broken")
    rows = rows.assign(text="What was said, of some length, and then a little more of it")
    rows = rows.assign(label="anger", predicted="anger", probability=RANDOM.random(n))
    return pd.concat([rows.assign(arm=arm, reference="text_only") for arm in ARMS[1:]])


def _audio_effect() -> pd.DataFrame:
    shares = {"n": N_ROWS, "flipped": 0.2, "to_right": 0.1, "to_wrong": 0.06, "other": 0.04}
    runs = [(arm, fold, seed) for arm in ARMS[1:] for fold in FOLDS for seed in SEEDS]
    return pd.DataFrame(runs, columns=["arm", "fold", "seed"]).assign(**shares)


def _groups() -> pd.DataFrame:
    names = [(arm, f"speaker {number}") for arm in ARMS for number in range(40)]
    groups = pd.DataFrame(names, columns=["arm", "value"])
    groups.insert(1, "column", "group")
    return groups.assign(n=N_ROWS // 40, macro_f1=RANDOM.random(len(groups)))


if __name__ == "__main__":
    main()
