"""How time and memory of every linear stage grow with the corpus.

    PYTHONPATH=workflow_scripts python bench/load.py --folder /tmp/load --rows 10000 100000

makes a corpus of each size under the folder: short made clips, a thousand different ones, each of
which is many rows' own file (a hard link), with texts, labels and speakers. Then it plans the
default selection and the linear baseline on it, runs them on all cores, and plans again. It prints
for each size how long planning takes and in how much memory, before and after the run, what
planning costs a job on a cluster, and of each stage the number of jobs, their seconds and the most
memory that one took, by Snakemake's benchmarks. What is there already is not made or run again.

With --shards N only so many shards are tokenised, and the codes of all others written down from
these, since the sounds are the same. With --until STAGE the run ends there. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from multiprocessing import Process
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml

from speechlasso.experiment.config_sources import laid_over
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan
from speechlasso.files import read_json, write_json
from speechlasso.integrity import RECORD, record
from speechlasso.pipeline.shards import shard_rows, spec_of_shard
from speechlasso.tokenizers.codes import CodeTable

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE_RATE, SECONDS, N_SOUNDS, N_SPEAKERS = 16_000, 0.3, 1000, 1000
LABELS = ["agrees", "asks", "doubts", "refuses"]
N_WORDS, WORDS_OF_TEXT = 5000, 12
CONFIGURATION = {
    "experiment": {"name": "load", "arms": ["bow_linear"]},
    "seeds": [1],
    "dataset": {
        "source": "table",
        "table": {"path": "corpus.parquet", "columns": {"split": "split", "group": "speaker"}},
    },
    "audio": {"shard_size": 10_000},
    "tokenizer": {"method": "spectral_rvq"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, required=True, help="corpora and results go here")
    parser.add_argument("--until", help="the last stage to run")
    parser.add_argument("--shards", type=int, help="shards to tokenise")
    parser.add_argument(
        "--inputs", default="joint", help="audio: the lasso reads audio tokens alone (select.lasso)"
    )
    options = parser.parse_args()
    found = {}
    for n_rows in options.rows:
        folder = options.folder / str(n_rows)
        if not (folder / "corpus.parquet").exists():
            # In a process of its own: those started later would count its memory as theirs.
            maker = Process(target=make_corpus, args=(folder, n_rows))
            maker.start()
            maker.join()
            if maker.exitcode:
                sys.exit(f"the corpus of {n_rows} rows could not be made")
        write_configuration(folder, n_rows, options.inputs)
        found[n_rows] = measured(folder, options.until, options.shards)
        print(f"\n{n_rows} rows\n{pd.DataFrame(found[n_rows]).to_string(index=False)}", flush=True)
    print(json.dumps(found))


def make_corpus(folder: Path, n_rows: int) -> None:
    """A table of utterances whose words and sounds both tell something of their labels."""
    random = np.random.default_rng(1)
    (folder / "sounds").mkdir(parents=True)
    labels = random.integers(len(LABELS), size=n_rows)
    speakers = random.integers(N_SPEAKERS, size=n_rows)
    sounds = [make_sound(folder / f"sounds/{i}.wav", i, random) for i in range(N_SOUNDS)]
    clips = [f"clips/{row // 10_000}/{row}.wav" for row in range(n_rows)]
    of_label = random.integers(N_SOUNDS // len(LABELS), size=n_rows) * len(LABELS) + labels
    for clip, sound in zip(clips, of_label, strict=True):
        path = folder / clip
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        os.link(sounds[sound], path)
    words = random.zipf(1.3, size=(n_rows, WORDS_OF_TEXT)) % N_WORDS
    words[:, 0] = np.where(random.random(n_rows) < 0.3, N_WORDS + labels, words[:, 0])
    names = np.array([f"word{i}" for i in range(N_WORDS + len(LABELS))], dtype=object)
    table = pd.DataFrame(
        {
            "id": [f"u{row}" for row in range(n_rows)],
            "text": [" ".join(row) for row in names[words]],
            "label": np.array(LABELS)[labels],
            "audio": clips,
            "speaker": [f"s{i}" for i in speakers],
            "split": np.array(["train"] * 8 + ["validation", "test"])[speakers % 10],
        }
    )
    table.to_parquet(folder / "corpus.parquet")
    shutil.copy(REPOSITORY / "config.yaml", folder)


def write_configuration(folder: Path, n_rows: int, inputs: str) -> None:
    # As strong for each row as in the default experiment.
    lasso = {"alpha": 8 * n_rows * 0.8 / 320, "inputs": inputs}
    (folder / "load.yaml").write_text(yaml.safe_dump(CONFIGURATION | {"select": {"lasso": lasso}}))


def make_sound(path: Path, i: int, random: np.random.Generator) -> Path:
    """A tone in noise, whose pitch tells a little of the label."""
    times = np.arange(int(SAMPLE_RATE * SECONDS)) / SAMPLE_RATE
    pitch = 150 * 1.2 ** (i % len(LABELS)) * random.lognormal(0, 0.2)
    sound = np.sin(2 * np.pi * pitch * times) + random.normal(0, 0.3, len(times))
    soundfile.write(path, 0.2 * sound, SAMPLE_RATE, subtype="PCM_16")
    return path


def measured(folder: Path, until: str | None, n_shards: int | None) -> list[dict]:
    rows = [timed("plan before", folder, "--dry-run", "--quiet", "all")]
    stop = ["--until", until] if until else []
    if n_shards:
        shards = planned_shards(folder)
        rows.append(timed("run of some shards", folder, *shards[:n_shards]))
        write_codes(folder, shards[:n_shards], shards[n_shards:])
    rows.append(timed("run", folder, *stop))
    rows.append(timed("plan after", folder, "--dry-run", "--quiet", "all"))
    rows.append(timed("start of a job", folder, *as_a_job(planned_shards(folder)[0])))
    return rows + stages(folder / "benchmarks")


def as_a_job(shard: str) -> list[str]:
    """What a cluster's job calls Snakemake with, up to where it would begin to work."""
    key, (number, n_shards) = Path(shard).parent.name, re.findall(r"\d+", Path(shard).stem)
    job = f"tokenize_audio:n_shards={n_shards},shard={number},tokenize_audio={key}"
    remote = ["--mode", "remote", "--allowed-rules", "tokenize_audio", "--target-jobs", job]
    return [*remote, "--nolock", "--ignore-incomplete", "--force", "--dry-run", "--quiet", "all"]


def planned_shards(folder: Path) -> list[str]:
    with contextlib.chdir(folder):
        plan = make_plan(load_settings(laid_over({}, ["config.yaml"], ["load.yaml"])))
        (codes,) = plan.variants["tokenize_audio"].values()
        return plan.shards(codes)


def write_codes(folder: Path, done: list[str], others: list[str]) -> None:
    """Shards as tokenising would write them, from those of the same sounds."""
    with contextlib.chdir(folder):
        manifest = pd.read_parquet(next(Path("results/manifest").glob("*/manifest.parquet")))
        sound = {row.id: os.stat(row.audio[0]).st_ino for row in manifest.itertuples()}
        known = CodeTable.read(done)
        of_sound = {sound[row_id]: array for row_id, array in known.codes.items()}
        for number, shard in enumerate(others, start=len(done)):
            rows = shard_rows(len(manifest), number, len(done) + len(others))
            codes = {row_id: of_sound[sound[row_id]] for row_id in manifest["id"].iloc[rows]}
            CodeTable(known.codebooks, codes).write(shard)
            spec = read_json(spec_of_shard(done[0]))
            write_json(spec_of_shard(shard), spec | {RECORD: record([shard], spec_of_shard(shard))})


def timed(name: str, folder: Path, *arguments: str) -> dict:
    """Seconds and memory of one snakemake, without its jobs."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
        *("--workflow-profile", str(REPOSITORY / "profiles/default"), "--cores", "all"),
        *("--directory", str(folder), *arguments, "--configfile", "load.yaml"),
    ]
    log = folder / f"{name.replace(' ', '_')}.log"
    started = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"snakemake failed; see {log}")
    seconds = time.perf_counter() - started
    return row(name, 1, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def stages(benchmarks: Path) -> list[dict]:
    found = []
    for folder in sorted(benchmarks.iterdir()):
        jobs = pd.concat([pd.read_csv(path, sep="\t") for path in sorted(folder.glob("*.tsv"))])
        found.append(
            row(
                folder.name,
                len(jobs),
                jobs["s"].sum(),
                jobs["cpu_time"].sum(),
                jobs["max_rss"].max(),
            )
        )
    return found


def row(name: str, jobs: int, seconds: float, processor: float, megabytes: float) -> dict:
    return {
        "stage": name,
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "processor seconds": round(processor, 1),
        "most MB of a job": round(megabytes),
    }


if __name__ == "__main__":
    main()
