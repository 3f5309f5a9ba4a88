"""Light stages start fast: they never import torch. Rule scripts stay thin."""

from __future__ import annotations

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


@pytest.mark.parametrize("script", LIGHT)
def test_light_rules_never_import_torch(script):
    imports = re.findall(r"^(?:from|import) .*$", (SCRIPTS / f"{script}.py").read_text(), re.M)
    program = "\n".join([*imports, "import sys; sys.exit('torch' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


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
