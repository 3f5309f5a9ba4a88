"""Light stages start fast: they never import torch. Rule scripts stay thin."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from import_graph import SCRIPTS, graph, imported, imported_by_rules, paths_to_torch

from speechlasso.selection.cards import SELECTIONS
from speechlasso.systems.cards import SYSTEMS

# What every rule script imports first is none itself.
RULE_SCRIPTS = sorted(set(SCRIPTS.glob("*.py")) - {SCRIPTS / "job_start.py"})
HEAVY = {"encode_audio", "answer_instructions", "adapt_lm", "finetune", "predict"}
LIGHT = [path.stem for path in RULE_SCRIPTS if path.stem not in HEAVY]
# Imports inside functions that light stages and planning do not come to. A card's module is
# imported by its name (`Card.load`), which no import statement shows.
DOORS = {
    ("pipeline.provenance", "torch"): "only where the job has loaded it",
    ("pipeline.provenance", "training.devices"): "only for settings with a language model",
    ("trained_model.model", "language_model.prediction"): "opens the language model to predict",
}


# Runs each program in a fork of its own, which does not wait for what all import slowly.
FORKS = """
import json, os, sys, types
import pandas, sklearn.pipeline, speechlasso.experiment.settings
snakemake = types.SimpleNamespace(scriptdir=os.getcwd(), log=[os.devnull])
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


def test_light_rules_and_planning_come_to_torch_in_no_function_either():
    edges = graph()
    edges |= {script: imported((SCRIPTS / f"{script}.py").read_text()) for script in LIGHT}
    edges["rules"] = imported_by_rules()
    light = [card for card in SYSTEMS.cards() if card.rule == "fit_linear"] + SELECTIONS.cards()
    modules = {card.implementation.removeprefix("speechlasso.") for card in light}
    starts = [*LIGHT, "rules", "experiment.plan", "cli", *sorted(modules)]
    assert paths_to_torch(starts, edges, DOORS) == []
    # Each door leads there, and adaptation shows that a way to torch is found.
    assert all(imported in edges[module] for module, imported in DOORS)
    assert paths_to_torch(["language_model.adaptation"], edges, DOORS) != []


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
