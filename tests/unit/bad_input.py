"""Bad input as users bring it: what is made, what is run on it, and what the message must say.

`python tests/unit/bad_input.py` writes the table of docs/robustness.md anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from rule_jobs import rule_job, run_script

from speechlasso.cli import main
from speechlasso.errors import InputError
from speechlasso.experiment.config_sources import laid_over
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "docs" / "robustness.md"
KINDS = ("configuration", "table", "clips", "speech tokenizer or language model", "trained model")
RATE = 16_000


@dataclass(frozen=True)
class Case:
    """Something wrong, and parts of the one message that it must end in."""

    kind: str
    what: str
    names: str
    """The place and what is wrong there."""
    remedy: str
    make: Callable[[Path], list[str]]
    """Writes files into an empty folder; returns a command, "speechlasso" or "snakemake" first."""


CASES: dict[str, Case] = {}


def bad(kind: str, what: str, names: str, remedy: str) -> Callable:
    """Make a case of what a function writes."""
    name = f"{kind}: {what}"
    assert kind in KINDS and name not in CASES

    def add(make: Callable[[Path], list[str]]) -> None:
        CASES[name] = Case(kind, what, names, remedy, make)

    return add


def run(command: list[str]) -> int:
    """Run a command in the working folder, in this process: of a workflow the plan and its jobs.

    Returns
    -------
    int
        The exit code; messages are on stderr, or in the logs of jobs.
    """
    program, *arguments = command
    try:
        return main(arguments) if program == "speechlasso" else _run_workflow(*arguments)
    except SystemExit as ended:  # of argparse, or of a job
        return ended.code


def _run_workflow(configfile: str) -> int:
    """As rules/common.smk plans, and Snakemake then starts jobs, but for those that cost much."""
    try:
        settings = load_settings(laid_over({}, ["config.yaml"], [configfile]))
        plan = make_plan(settings)
    except InputError as error:
        Path("plan.log").write_text(f"now here ERROR plan: {error}\n")
        return 1
    for rule, files in FILES.items():
        # A tokenizer that learns reads no files of the user's.
        for variant in (v for v in plan.variants[rule].values() if "tokenizer" not in v.upstream):
            inputs, names = files(variant)
            outputs = {name.split(".")[0]: f"{variant.folder}/{name}" for name in names}
            outputs["spec"] = f"{variant.folder}/{names[-1]}"
            params = {"spec": variant.spec, "computation": variant.settings.of_computation()}
            job = rule_job(rule, inputs, outputs, params, shard="0", n_shards="1")
            job.threads = 1
            run_script(job)
    return 0


def _of_manifest(variant: object) -> tuple:
    names = ("manifest.parquet", "clips.parquet", "problems.csv", "spec.json")
    return {"table": [variant.settings.table.path], "corpus": []}, names


def _of_folds(variant: object) -> tuple:
    return {"manifest": _manifest(variant)}, ("folds.parquet", "spec.json")


def _of_codes(variant: object) -> tuple:
    clips = f"{variant.upstream['manifest'].folder}/clips.parquet"
    others = {"tokenizer": [], "frames": [], "corpus": [], "data": []}
    names = ("codes.parquet", "shard-0-of-1.spec.json")
    return {"manifest": _manifest(variant), "clips": clips, **others}, names


def _of_token_texts(variant: object) -> tuple:
    folds = f"{variant.upstream['folds'].folder}/folds.parquet"
    return {"manifest": _manifest(variant), "folds": folds}, ("token_texts.parquet", "spec.json")


def _of_model(variant: object) -> tuple:
    read = {role: [f"{v.folder}/{role}.parquet"] for role, v in variant.upstream.items()}
    return {**read, "specs": []}, ("training.json", "spec.json")


def _manifest(variant: object) -> str:
    return f"{variant.upstream['manifest'].folder}/manifest.parquet"


FILES = {
    "manifest": _of_manifest,
    "divide_folds": _of_folds,
    "tokenize_audio": _of_codes,
    "token_texts": _of_token_texts,
    "finetune": _of_model,
}


def messages_of_jobs(folder: Path) -> Iterator[str]:
    """What the logs of a workflow say went wrong."""
    for log in sorted(folder.glob("*.log")):
        text = log.read_text()
        assert "Traceback" not in text, text
        yield from re.findall(r"^\S+ \S+ ERROR [\w.]+: (.*?)(?=\n\d{4}-|\Z)", text, re.S | re.M)


def with_table(folder: Path, **config: object) -> pd.DataFrame:
    """Twelve short recordings in a table, which is yet to be written, and their experiment."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        name = f"u{number:02d}.wav"
        tone = np.sin(np.arange(RATE // 8) * (0.05 + 0.05 * (number % 2)))
        soundfile.write(folder / name, 0.5 * tone + 0.01 * rng.standard_normal(len(tone)), RATE)
        split = ["train", "train", "validation", "test"][number // 3]
        speaker = f"s{number // 3}"
        rows.append([name[:3], name, "some words", ["calm", "tense"][number % 2], split, speaker])
    configure(folder, **config)
    return pd.DataFrame(rows, columns=["id", "audio", "text", "label", "split", "speaker"])


def configure(folder: Path, path: str = "table.csv", columns: dict | None = None, **config) -> None:
    """An experiment on a table, with a linear arm that reads words and audio."""
    dataset = {"source": "table", "table": {"path": path, "columns": {"split": "split"}}}
    dataset["table"]["columns"] |= columns or {}
    dataset |= config.pop("dataset", {})
    (folder / "config.yaml").write_text("")  # all at its default
    own = {"dataset": dataset, "seeds": [1], "tokenizer": {"method": "spectral_rvq"}}
    own["experiment"] = {"arms": ["bow_linear"]}
    (folder / "mine.yaml").write_text(yaml.safe_dump(own | config))


def table_in_document() -> Iterator[str]:
    """Its lines in docs/robustness.md."""
    for kind in KINDS:
        cases = [case for case in CASES.values() if case.kind == kind]
        yield f"| {kind} ({len(cases)}) | what the message names | what it says to do |"
        yield "|---|---|---|"
        for case in cases:
            cells = (text.replace("|", "\\|") for text in (case.what, case.names, case.remedy))
            yield f"| {' | '.join(cells)} |"
        yield ""


BEGIN, END = "<!-- of tests/unit/bad_input.py -->\n\n", "<!-- until here -->"


def in_document() -> tuple[str, str, str]:
    """docs/robustness.md before the table, the table, and after it."""
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    table, end, after = rest.partition(END)
    return before + begin, table, end + after


if __name__ == "__main__":
    import all_bad_input  # noqa: F401 - the same cases under another module's name
    from bad_input import table_in_document as lines

    before, _, after = in_document()
    DOCUMENT.write_text(before + "\n".join(lines()) + "\n" + after, encoding="utf-8")
