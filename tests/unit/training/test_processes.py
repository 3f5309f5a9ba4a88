"""Two processes that share each step end with the weights of one that does it all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

# In a program of its own: forking is for processes that have not computed with torch yet.
PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from tiny_models import made_examples, save_any
from speechlasso.language_model.adaptation import adapt
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel
from speechlasso.language_model.finetuning import finetune
from speechlasso.training.processes import in_processes
from speechlasso.language_model.token_rows import NewTokens, write_token_rows

folder, n = Path(sys.argv[1]), int(sys.argv[2])
name = save_any(folder / "lm", "llama")
lm = LanguageModel(name=name, max_length=120, precision="fp32")
examples = made_examples(41, 10, n_audio_tokens=10, seed=0)
common = {"lm": lm, "seed": 1, "threads": 1}
# The last of the batches has an example for one of the two processes alone.
adapting = Adapt(epochs=2, batch_size=8, holdout=0.2)
learning = {"settings": adapting, "new_tokens": NewTokens(10), "checkpoint_folder": folder}
rows = in_processes(n, partial(adapt, examples[:41], **learning, **common)).rows
write_token_rows(folder / "rows.safetensors", rows)
tuning = Finetune(method="lora", lora={"rank": 4, "dropout": 0.0}, epochs=2, batch_size=8)
log = in_processes(
    n,
    partial(
        finetune,
        examples,
        folder / "model",
        settings=tuning,
        criterion=Criterion(),
        new_tokens=NewTokens(10, rows),
        **common,
    ),
).log
log.to_csv(folder / "log.csv")
"""


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    for n in (1, 2):
        (tmp_path / str(n)).mkdir()
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / str(n)), str(n)]
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    for file in ("rows.safetensors", "model/model.safetensors"):
        one, two = (load_file(tmp_path / str(n) / file) for n in (1, 2))
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_allclose(one[key], two[key], atol=2e-5, err_msg=key)


FAILING = """
from speechlasso.errors import InputError
from speechlasso.training.processes import in_processes

def work():
    raise InputError("lower learning_rate")

try:
    in_processes(2, work)
except InputError as error:
    print("told:", error)
"""


@pytest.mark.slow
def test_an_error_of_the_user_stays_one():
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert "told: lower learning_rate" in done.stdout, done.stderr
