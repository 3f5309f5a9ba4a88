"""Rules declare every file that their scripts read, so that a change of any of them is seen."""

from __future__ import annotations

import csv
import os
from pathlib import PurePath

from speechlasso.digests import DIGESTS

from .conftest import READS


def declared(workspace):
    """The files that each job declares as its inputs, and those it writes, by the job's log."""
    table = workspace.run("--detailed-summary", "--configfile", "tiny.yaml")
    lines = table[table.index("output_file\t") :].splitlines()
    inputs, outputs = {}, {}
    for row in csv.DictReader(lines, delimiter="\t"):
        log = row["log-file(s)"]
        paths = row["input-file(s)"].split(",")
        inputs[log] = {os.path.relpath(workspace.folder / path, workspace.folder) for path in paths}
        outputs.setdefault(log, set()).add(row["output_file"])
    return inputs, outputs


# It waits for jobs whose results it does not read, and tells what they took.
WAITING = "logs/experiments/tiny-provenance.log"


def test_scripts_read_what_their_rules_declare(finished, tiny_lm):
    inputs, outputs = declared(finished)
    # The user's files: here those of the language model, which lie outside the folder.
    of_user = os.path.relpath(tiny_lm, finished.folder) + "/"
    seen, undeclared, unread, reading_lm = set(), set(), set(), set()
    for script in (finished.folder / READS).iterdir():
        notes = [line.split(" ", 1) for line in script.read_text().splitlines()]
        (log,) = {path for event, path in notes if event == "log"}
        seen.add(log)
        read = (
            {
                path
                for event, path in notes
                if event == "read" and path.startswith(("results/", of_user))
            }
            - outputs[log]
            - {DIGESTS}
        )
        covered = {path for path in read if inputs[log] & {path, *map(str, PurePath(path).parents)}}
        undeclared |= {(log, path) for path in read - covered}
        reading_lm |= {log.split("/")[1] for path in covered if path.startswith(of_user)}
        reached = covered | {str(parent) for path in covered for parent in PurePath(path).parents}
        unread |= {(log, path) for path in inputs[log] - reached if path.startswith("results/")}
    waited = {path for log, path in unread if log == WAITING}
    assert {path.rpartition("/")[2] for path in waited} == {"summary.csv", "page.html", "README.md"}
    assert seen == set(inputs) - {"-"}
    assert undeclared == set()
    assert reading_lm == {"adapt_lm", "finetune"}
    assert unread == {(WAITING, path) for path in waited}
