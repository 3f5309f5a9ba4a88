"""Fine-tuning that is interrupted, or has too little memory, ends with the same model."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import made_examples, save_any
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from tuned_models import N_AUDIO, tuned, without_dropout

from speechlasso.language_model.prediction import predict
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.token_rows import TokenRows
from speechlasso.language_model.token_text import new_token_names
from speechlasso.training import loop as training


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_less_memory_gives_the_same_model(tmp_path, few, language_models, method):
    lm = without_dropout(language_models["bert"], tmp_path)
    options = {"method": method, "lora": {"rank": 4, "dropout": 0.0}, "learning_rate": 1e-3}
    tuned(few, tmp_path / "plain", lm, **options)
    frugal = options | {"micro_batch_size": 5, "gradient_checkpointing": True}
    tuned(few, tmp_path / "frugal", lm, **frugal)
    plain, frugal = (predict(tmp_path / name, few) for name in ("plain", "frugal"))
    np.testing.assert_allclose(plain["p_loud"], frugal["p_loud"], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_a_killed_training_goes_on_to_the_same_model(
    tmp_path, few, language_models, method, monkeypatch
):
    options = {"method": method, "lora": {"rank": 4}, "epochs": 4, "patience": 4}
    options |= {"splice": 0.5, "token_dropout": 0.2, "new_rows_rate": 5.0}
    lm = language_models["bert"]
    tuned(few, tmp_path / "whole", lm, **options)

    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    step = training._Run.step
    epochs_run = []

    def killed(run, batch, number):
        if run.progress.epoch == 3 and number == 2 and len(epochs_run) < 4:
            raise KeyboardInterrupt
        epochs_run.extend([run.progress.epoch] * (number == 0))
        return step(run, batch, number)

    monkeypatch.setattr(training._Run, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        tuned(few, tmp_path / "killed", lm, **options)
    assert epochs_run == [1, 2, 3]
    epochs_run.append("again")
    tuned(few, tmp_path / "killed", lm, **options)
    assert epochs_run == [1, 2, 3, "again", 3, 4]

    whole, resumed = (
        load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def other_validation_texts(examples):
    texts = examples["text"].where(examples["split"] != "validation", "the old dog")
    return {"examples": examples.assign(text=texts)}


def other_validation_labels(examples):
    labels = examples["label"].mask(examples["split"] == "validation", "calm")
    labels.iloc[examples.index[examples["split"] == "validation"][0]] = "loud"
    return {"examples": examples.assign(label=labels)}


def other_adapted_rows(examples):
    names = new_token_names(N_AUDIO)
    vectors = np.random.default_rng(1).standard_normal((len(names), 32)).astype(np.float32)
    return {"token_rows": TokenRows(names, vectors)}


def other_frozen_weights(lm, folder):
    model = AutoModelForSequenceClassification.from_pretrained(lm.name)
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.bias[3] += 1e-3
    model.save_pretrained(folder / "other")
    AutoTokenizer.from_pretrained(lm.name).save_pretrained(folder / "other")
    return {"lm": lm.model_copy(update={"name": str(folder / "other")})}


@pytest.mark.parametrize(
    "change",
    [
        None,
        other_validation_texts,
        other_validation_labels,
        other_adapted_rows,
        other_frozen_weights,
    ],
)
def test_a_checkpoint_is_taken_up_by_an_equal_run_only(tmp_path, monkeypatch, caplog, change):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    caplog.set_level("INFO")
    lm = LanguageModel(name=save_any(tmp_path / "lm", "bert"), max_length=120)
    examples = made_examples(32, 8, n_audio_tokens=N_AUDIO, seed=3)
    inputs = {"examples": examples, "lm": lm, "method": "head"}
    tuned(folder=tmp_path / "run", **inputs)
    if change is other_frozen_weights:
        inputs |= change(lm, tmp_path)
    elif change is not None:
        inputs |= change(examples)
    # Memory and processes are free to change.
    tuned(folder=tmp_path / "run", micro_batch_size=4, **inputs)
    assert ("going on after epoch 1" in caplog.text) == (change is None)
