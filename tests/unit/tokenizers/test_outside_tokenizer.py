"""A tokenizer from a package outside the project: the one that docs/architecture.md shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from speechlasso.files import sha256
from speechlasso.tokenizers.cards import TOKENIZERS

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder of installed packages with the example in it."""
    folder = tmp_path_factory.mktemp("site-packages")
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    module, project = (
        re.search(rf"```{language}\n(.*?loudness.*?)```", text, re.S)[1]
        for language in ("python", "toml")
    )
    (folder / "loudness.py").write_text(module)
    info = folder / "loudness-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("loudness.py,,\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loudness\nVersion: 1.0\n")
    ((group, points),) = tomllib.loads(project)["project"]["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {place}" for name, place in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def python(program: str, installed: Path) -> str:
    path = os.pathsep.join([str(installed), str(REPOSITORY / "workflow_scripts")])
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout


PROGRAM = """
import sys
import numpy as np
from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.tokenization import load_tokenizer

settings = load_settings({"tokenizer": {"method": "loudness", "step": 10}})
plan = make_plan(settings)
labels = [key.rpartition("-")[0] for key in plan.keys("tokenize_audio")]
print(*labels, len(plan.keys("fit_tokenizer")))
clip = np.concatenate([np.zeros(640), np.full(330, 0.17)])
(codes,) = load_tokenizer(settings.tokenizer, None).encode([clip])
print(codes.tolist())
for wrong in ({"tokenizer": {"method": "loudness", "stp": 1}}, {"tokenizer": {"method": "lodness"}},
              {"tokenizer": {"method": "loudness"}, "bow": {"layers": 2}}):
    try:
        make_plan(load_settings(wrong))
    except InputError as error:
        lines = str(error).splitlines()
        print(lines[1] if len(lines) > 1 else lines[0])
print(TOKENIZERS["loudness"].origin, TOKENIZERS["mimi"].origin)
print("torch" in sys.modules)
(codes,) = plan.variants["tokenize_audio"].values()
print(codes.spec["origin"])
"""


@pytest.mark.slow
def test_a_tokenizer_of_another_package_works_like_one_of_ours(installed):
    lines = python(PROGRAM, installed).splitlines()
    assert lines[0] == "loudness 0"
    # Two frames of silence, one at -15.4 dB, and the 10 samples left at -30.4 dB in a whole frame.
    assert lines[1] == "[[0, 0, 7, 5]]"
    assert lines[2].endswith("tokenizer.stp: unknown key; did you mean 'step'?")
    assert lines[3].endswith("no tokenizer is called 'lodness'; did you mean 'loudness'?")
    assert lines[4].startswith("bow.layers: 2, but the speech tokenizer has 1")
    source = {"loudness": sha256(installed / "loudness.py")}
    origin = {"modules": source, "packages": {"loudness": "1.0"}}
    assert lines[5] == f"{origin} {{}}"
    assert lines[6] == "False"
    assert lines[7] == str(origin)  # of the key of its codes


@pytest.mark.slow
def test_its_card_is_shown_with_ours(installed):
    program = "import sys; from speechlasso.cli import main; sys.exit(main(['tokenizers']))"
    lines = python(program, installed).splitlines()
    names = [line for line in lines if line in {*TOKENIZERS, "loudness"}]
    assert names == [*TOKENIZERS, "loudness"]
    assert "  Settings: tokenizer.step (6)" in lines
