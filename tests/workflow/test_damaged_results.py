"""A bit that turned in a finished result: the next job that reads it says so, and how to go on."""

from __future__ import annotations

import re
import shlex

TINY = ("--configfile", "tiny.yaml")


def test_the_command_of_the_message_makes_a_damaged_result_again(finished, tmp_path):
    workspace = finished.copy(tmp_path / "copy")
    damaged, *_ = sorted(workspace.folder.glob("results/fit_linear/*/predictions.parquet"))
    whole = damaged.read_bytes()
    turned = bytearray(whole)
    turned[len(whole) // 3] ^= 1
    damaged.write_bytes(turned)
    stopped = workspace.snakemake(*TINY, "--forcerun", "evaluate", "--until", "evaluate")
    path = damaged.relative_to(workspace.folder)
    assert stopped.returncode == 1 and f"  - {path}\n" in stopped.stdout
    assert "Traceback" not in stopped.stdout
    (command,) = set(re.findall(r"snakemake (--cores all --forcerun .*)", stopped.stdout))
    workspace.run(*shlex.split(command), *TINY)
    assert damaged.read_bytes() == whole
    summary = "results/experiments/tiny/summary.csv"
    assert (workspace.folder / summary).read_bytes() == (finished.folder / summary).read_bytes()
    assert workspace.planned_rules(*TINY) == set()
