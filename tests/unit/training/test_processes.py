"""Two processes that share each step end with the weights of one that does it all."""

from __future__ import annotations

import os
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


@pytest.fixture(autouse=True)
def _on_the_processor(monkeypatch):
    """Two processes want two GPUs where there is one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def run(program: str, folder: Path, n: int) -> None:
    folder.mkdir()
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(n)],
        cwd=tests,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests.parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    for n in (1, 2):
        run(PROGRAM, tmp_path / str(n), n)
    for file in ("rows.safetensors", "model/model.safetensors"):
        one, two = (load_file(tmp_path / str(n) / file) for n in (1, 2))
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_allclose(one[key], two[key], atol=2e-5, err_msg=key)


IN_STAGES = """
import sys
from pathlib import Path
from spoken_words import made_frames, made_inputs, made_rows, training
from tiny_models import save_chat
from transformers import LlamaConfig
from speechlasso.language_model.settings import LanguageModel
from speechlasso.systems import learned_model, small_speech_lm_model
from speechlasso.systems.learned import Learned
from speechlasso.systems.small_speech_lm import SmallSpeechLM

folder, n = Path(sys.argv[1]), int(sys.argv[2])
lm = LanguageModel(name=save_chat(folder / "lm", LlamaConfig), max_length=300, precision="fp32")
# 21 rows to learn from: the last batch has an example for one of the two processes alone.
rows = made_rows(42)
inputs = made_inputs(folder, rows, made_frames(rows))
finetune = {"lora": {"rank": 4, "dropout": 0.0}, "batch_size": 10, "processes": n, "epochs": 2}
asked = {"training": "lora", "inputs": ["audio"], "prompt": "{labels}?"}
for system, module, arm in (
    (Learned, learned_model, {}), (SmallSpeechLM, small_speech_lm_model, asked)
):
    (folder / system.__name__).mkdir()
    module.fit(inputs, training(lm, finetune, system, **arm), folder / system.__name__, threads=1)
"""


@pytest.mark.slow
def test_two_processes_do_what_one_does_in_stages(tmp_path):
    for n in (1, 2):
        run(IN_STAGES, tmp_path / str(n), n)
    for system in ("Learned", "SmallSpeechLM"):
        for file in ("model.safetensors", "adapter.safetensors"):
            one, two = (load_file(tmp_path / str(n) / system / file) for n in (1, 2))
            assert one.keys() == two.keys()
            for key in one:
                np.testing.assert_allclose(one[key], two[key], atol=1e-3, err_msg=key)


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
