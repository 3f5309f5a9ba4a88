"""Training in stages that is interrupted ends with the same model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tests.unit.spoken_words import tiny_lm, training
from tests.unit.tiny_models import save_chat
from transformers import LlamaConfig

from speechlasso.language_model.settings import LanguageModel
from speechlasso.systems import learned_model, small_speech_lm_model
from speechlasso.systems.learned import Learned
from speechlasso.systems.small_speech_lm import SmallSpeechLM
from speechlasso.training import loop

STAGES = ["transcription", "warm_up", "task"]
EPOCHS, STEPS = 3, 2
SAVED = ("model.safetensors", "adapter.safetensors", "config.json")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    chat = LanguageModel(
        name=save_chat(folder / "chat", LlamaConfig), max_length=300, precision="fp32"
    )
    return {"headless bert": tiny_lm(folder / "bert", "headless bert"), "chat": chat}


def fit(inputs, folder: Path, models, name: str, **finetune):
    folder.mkdir(exist_ok=True)
    system, module = Learned, learned_model
    arm = {"transcription": {"epochs": EPOCHS, "warm_up_epochs": EPOCHS, "learning_rate": 0.01}}
    if name == "chat":
        system, module = SmallSpeechLM, small_speech_lm_model
        arm |= {"training": "lora", "inputs": ["audio"], "prompt": "{labels}?"}
    # Some dropout, which is drawn.
    how = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 12, "lora": {"rank": 4}} | finetune
    module.fit(inputs, training(models[name], how, system, **arm), folder, threads=1)
    return pd.read_csv(folder / "training_log.csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["headless bert", "chat"])
def test_a_training_killed_in_any_stage_goes_on_to_the_same_model(
    tmp_path, inputs, models, name, monkeypatch
):
    whole = fit(inputs, tmp_path / "whole", models, name).drop(columns="seconds")
    assert len(whole) == len(STAGES) * EPOCHS
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    taken, real = [], loop._Run.step
    fatal = {}

    def step(run, batch, number):
        if len(taken) == fatal["step"]:
            raise KeyboardInterrupt
        taken.append(number)
        return real(run, batch, number)

    monkeypatch.setattr(loop._Run, "step", step)
    for number, stage in enumerate(STAGES):
        # In the last step of the stage's last epoch.
        fatal["step"] = (number + 1) * EPOCHS * STEPS - 1
        taken.clear()
        with pytest.raises(KeyboardInterrupt):
            fit(inputs, tmp_path / stage, models, name)
        assert (tmp_path / stage / "checkpoint" / f"{stage}.safetensors").is_file()
        taken.clear()
        fatal["step"] = None
        resumed = fit(inputs, tmp_path / stage, models, name).drop(columns="seconds")
        # Of each stage before, and of this one, the last epoch alone is repeated.
        later = len(STAGES) - number - 1
        assert len(taken) == STEPS * (number + 1) + later * EPOCHS * STEPS
        pd.testing.assert_frame_equal(resumed, whole)
        for saved in SAVED:
            first, again = ((tmp_path / of / saved).read_bytes() for of in ("whole", stage))
            assert first == again, f"{saved} after {stage}"
