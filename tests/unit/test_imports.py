"""Light stages start fast: they never import torch. Rule scripts stay thin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow_scripts"
# What every rule script imports first is none itself.
RULE_SCRIPTS = sorted(set(SCRIPTS.glob("*.py")) - {SCRIPTS / "job_start.py"})
HEAVY = {"adapt_lm", "finetune", "predict"}
LIGHT = [path.stem for path in RULE_SCRIPTS if path.stem not in HEAVY]


# Runs each program in a fork of its own, which does not wait for what all import slowly.
FORKS = """
import json, os, sys
import pandas, sklearn.pipeline, speechlasso.experiment.settings
found = {}
for name, program in json.load(sys.stdin).items():
    child = os.fork()
    if child == 0:
        try:
            exec(program, {})
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(2)
        os._exit("torch" in sys.modules)
    found[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def importing():
    """What importing as each light script does ends with: 1 with torch, 2 with an error."""
    programs = {
        script: "\n".join(
            re.findall(r"^(?:from|import) .*$", (SCRIPTS / f"{script}.py").read_text(), re.M)
        )
        for script in LIGHT
    }
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=json.dumps(programs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=SCRIPTS,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("script", LIGHT)
def test_light_rules_never_import_torch(importing, script):
    assert importing[script] == 0


@pytest.mark.parametrize("script", RULE_SCRIPTS, ids=lambda path: path.stem)
def test_rule_scripts_are_thin_and_read_their_own_settings_only(script):
    text = script.read_text()
    assert "snakemake.config" not in text
    assert len(text.splitlines()) <= 45
    assert "def " not in text
    assert re.search(r"^(?:import|from) (\w+)", text, re.M)[1] == "job_start"


def test_every_rule_has_its_script():
    rules = (SCRIPTS.parent / "rules").glob("*.smk")
    named = {
        name
        for rule in rules
        for name in re.findall(r"workflow_scripts/(\w+)\.py", rule.read_text())
    }
    assert named == {path.stem for path in RULE_SCRIPTS}
