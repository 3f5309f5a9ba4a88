"""The diffs of docs/architecture.md: a tokenizer, a selection, a system and a metric more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from import_graph import REPOSITORY, SCRIPTS

DOCUMENT = (REPOSITORY / "docs" / "architecture.md").read_text()
DIFFS = re.findall(r"```diff\n(.*?)```", DOCUMENT, re.S)

PROGRAM = """
import json, sys, tempfile
from pathlib import Path
from types import SimpleNamespace
from speechlasso.errors import InputError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.plan import make_plan

chosen = {
    "experiment": {"arms": ["shares", "often"]},
    "tokenizer": {"method": "zero_crossings", "n_codes": 4},
    "select": {"often": {"method": "document_frequency", "least": 0.6}},
    "arms": {
        "shares": {"system": "class_shares", "added": 1},
        "often": {"system": "bow_linear", "select": "often"},
    },
    "evaluate": {"more_metrics": ["brier"]},
}
settings = load_settings(chosen)
plan = make_plan(settings)
found = {"heavy": sorted({"torch", "scipy", "sklearn"} & set(sys.modules))}
found["labels"] = {
    stage: sorted({key.rpartition("-")[0] for key in plan.keys(stage)})
    for stage in ("fit_tokenizer", "tokenize_audio", "select_tokens", "fit_linear")
}
mistakes = {
    "tokenizer": {"method": "zero_crossing"},
    "select": {"often": {"method": "document_frequency", "lest": 1}},
    "arms": {"shares": {"system": "class_share"}},
    "evaluate": {"more_metrics": ["brie"]},
}
try:
    load_settings(chosen | mistakes)
except InputError as error:
    found["mistakes"] = str(error)

import numpy as np
import pandas as pd
import scipy.sparse as sp
from speechlasso.evaluation.scores import classification_scores
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.selection.cards import SELECTIONS
from speechlasso.selection.select import Given
from speechlasso.systems.cards import SYSTEMS
from speechlasso.tokenizers.tokenization import load_tokenizer

alternating = np.tile([0.5, -0.5], 160)
(codes,) = load_tokenizer(settings.tokenizer, None).encode(
    [np.concatenate([np.ones(320), alternating, alternating[:100]])]
)
found["codes"] = codes.tolist()

rows = pd.DataFrame({"id": [*"abcd"], "label": [*"xxyx"], "split": ["train"] * 3 + ["test"]})
audio = sp.csr_array(np.array([[1, 0, 2, 0], [3, 0, 0, 0], [0, 1, 1, 0], [0, 9, 0, 9]]))
text = sp.csr_array((4, 0), dtype=int)
bow = BagOfWords(rows, audio, text, AudioFeatures(1, 2, 2), [])
often = settings.select["often"]
selection = SELECTIONS[often.method].load().select(bow, often, Given())
found["kept"] = [[token.layer, token.code] for token in selection.tokens]

folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
bow.save(folder)
inputs = {"bow": [str(folder / "rows.parquet")]}
shares = SYSTEMS["class_shares"].load()
shares.fit(inputs, SimpleNamespace(arm=settings.arms["shares"]), folder, 1)
predictions = shares.open(folder).predict(inputs, 1)
found["predicted"] = predictions["predicted"].tolist()
probabilities = predictions[["p_x", "p_y"]].to_numpy()
found["probabilities"] = probabilities.tolist()
truth = np.array([0, 0, 1, 0])
scores = classification_scores(truth, probabilities, ["x", "y"], more_metrics=["brier"])
found["brier"] = scores["brier"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a copy of the package with all of the diffs says and computes."""
    folder = tmp_path_factory.mktemp("changed")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SCRIPTS, folder / "workflow_scripts", ignore=ignored)
    # Outside of a repository, even where the temporary folder lies in one.
    alone = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    for diff in DIFFS:
        subprocess.run(["git", "apply"], input=diff, cwd=folder, env=alone, text=True, check=True)
    finished = subprocess.run(
        [sys.executable, "-", str(folder)],
        input=PROGRAM,
        env=os.environ | {"PYTHONPATH": str(folder / "workflow_scripts")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)


@pytest.mark.parametrize("room", ["tokenizers", "selection", "systems", "evaluation"])
def test_each_is_one_new_file_and_additions_to_the_cards(room):
    place = f"workflow_scripts/speechlasso/{room}"
    (diff,) = [diff for diff in DIFFS if f"{place}/" in diff]
    old, new = (re.findall(rf"^{sign} (\S+)$", diff, re.M) for sign in (r"---", r"\+\+\+"))
    assert old == ["/dev/null", f"a/{place}/cards.py"]
    assert re.fullmatch(rf"b/{place}/\w+\.py", new[0]) and new[1] == f"b/{place}/cards.py"
    assert not re.search(r"^-(?!-- )", diff, re.M)  # nothing is taken away


@pytest.mark.slow
def test_they_are_planned_without_heavy_imports(found):
    assert found["heavy"] == []
    assert found["labels"] == {
        "fit_tokenizer": [],
        "tokenize_audio": ["zero_crossings"],
        "select_tokens": ["document_frequency"],
        "fit_linear": ["bow_linear", "class_shares"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "message",
    [
        "tokenizer.method: no tokenizer is called 'zero_crossing'; did you mean 'zero_crossings'?",
        "select.often.lest: unknown key; did you mean 'least'?",
        "arms.shares.system: no system is called 'class_share'; did you mean 'class_shares'?",
        "evaluate.more_metrics.0: no metric is called 'brie'; did you mean 'brier'?",
    ],
)
def test_their_settings_are_checked_like_others(found, message):
    assert message in found["mistakes"]


@pytest.mark.slow
def test_they_compute(found):
    # 0, 319 and, the zeros that fill the last frame up included, 100 sign changes; 80 to a code.
    assert found["codes"] == [[0, 3, 1]]
    # Of four tokens the first and the third occur in two of three training rows.
    assert found["kept"] == [[1, 0], [2, 0]]
    # Two rows of x and one of y, and one added to each.
    assert found["predicted"] == ["x"] * 4
    np.testing.assert_allclose(found["probabilities"], [[0.6, 0.4]] * 4)
    # Three rows of x and one of y.
    assert found["brier"] == pytest.approx((3 * 2 * 0.4**2 + 2 * 0.6**2) / 4)
