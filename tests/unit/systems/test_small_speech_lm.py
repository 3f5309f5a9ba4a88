"""The system small_speech_lm: what it learns from, what it changes, what it asks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tests.unit.spoken_words import PROBABILITIES, best_epoch, made_inputs, tiny_lm, training
from tests.unit.tiny_models import CHAT, save_chat
from transformers import LlamaConfig

from speechlasso.errors import InputError
from speechlasso.language_model import speech_curriculum
from speechlasso.language_model.settings import LanguageModel
from speechlasso.systems import small_speech_lm_model
from speechlasso.systems.small_speech_lm import SmallSpeechLM


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    """Its weights are large enough to tell what it reads apart."""
    path = save_chat(tmp_path_factory.mktemp("lm"), LlamaConfig, initializer_range=0.2)
    return LanguageModel(name=path, max_length=400, precision="fp32")


def fit(files, folder, lm, **settings):
    folder.mkdir(exist_ok=True)
    settings = training(lm, system=SmallSpeechLM, **settings)
    said = small_speech_lm_model.fit(files, settings, folder, threads=1)
    return said, pd.read_csv(folder / "training_log.csv")


def predictions(inputs, folder):
    return small_speech_lm_model.open(folder).predict(inputs, threads=1)


AUDIO = {"inputs": ["audio"], "prompt": "{labels}?"}


def test_zero_shot_learns_no_label_of_a_training_row(tmp_path, rows, frames, inputs, lm):
    said, log = fit(inputs, tmp_path / "first", lm, **AUDIO)
    other = rows.copy()
    train = (rows["split"] == "train").to_numpy()
    other.loc[train, "label"] = rows.loc[train, "label"].to_numpy()[::-1]
    assert not other["label"].equals(rows["label"])
    changed = made_inputs(tmp_path / "inputs", other, frames)
    # Nor does it matter how others learn a label.
    how = {"epochs": 7, "learning_rate": 0.1, "class_weights": "none", "focal_gamma": 1.0}
    fit(changed, tmp_path / "second", lm, finetune=how, **AUDIO)
    found, again = (predictions(inputs, tmp_path / name) for name in ("first", "second"))
    pd.testing.assert_frame_equal(found, again)
    assert found["p_loud"].std() > 1e-4, "it hears"
    assert log["stage"].tolist() == ["transcription"] * 2 + ["warm_up"]
    assert said["validation_macro_f1"] == []
    np.testing.assert_allclose(found[PROBABILITIES].sum(axis=1), 1)


def test_low_rank_updates_learn_to_answer(tmp_path, inputs, lm):
    finetune = {"epochs": 10, "batch_size": 8, "patience": 10, "learning_rate": 0.05}
    said, log = fit(inputs, tmp_path, lm, training="lora", finetune=finetune, **AUDIO)
    task = log[log["stage"] == "task"]
    assert task["train_loss"].min() < 0.7 * task["train_loss"].iloc[0]
    found = predictions(inputs, tmp_path)
    right = found["predicted"] == found["label"]
    assert right[found["split"] != "train"].mean() > 0.75
    best = best_epoch(task, found)
    assert dict(said["validation_macro_f1"])[best["epoch"]] == best["macro_f1"]
    assert said["mean_sequence_length"] > 20 and said["trainable_parameters"] < 20_000


def test_each_stage_changes_what_is_its_own(tmp_path, inputs, lm, changed):
    fit(inputs, tmp_path, lm, training="lora", **AUDIO)
    assert list(changed) == ["transcription", "warm_up", "task"]
    adapter = changed["transcription"]
    assert adapter and all(name.startswith("adapter.") for name in adapter)
    for stage in ("warm_up", "task"):
        updates = changed[stage] - adapter
        assert changed[stage] >= adapter and updates
        assert all(".lora_" in name for name in updates)
    # Of the model all but the updated layers is what it was.
    before, after = (load_file(f"{folder}/model.safetensors") for folder in (lm.name, tmp_path))
    assert before.keys() == after.keys()
    others = {name for name in before if not torch.equal(before[name], after[name])}
    assert others and all("q_proj" in name or "v_proj" in name for name in others)


def test_predictions_do_not_depend_on_the_batch(tmp_path, rows, frames, inputs, lm):
    once = {"transcription": {"epochs": 1, "warm_up_epochs": 1, "learning_rate": 0.01}}
    fit(inputs, tmp_path / "model", lm, prompt="{text} {labels}?", **once)
    together = predictions(inputs, tmp_path / "model")
    some = pd.concat([rows.iloc[[40]], rows.iloc[[3]]], ignore_index=True)
    alone = predictions(made_inputs(tmp_path / "some", some, frames), tmp_path / "model")
    np.testing.assert_allclose(
        alone[PROBABILITIES], together.loc[[40, 3], PROBABILITIES], atol=1e-5
    )
    # Words are read where the inputs have them, and never as parts of the template.
    assert (together["n_text_tokens"] > 0).all()
    other = rows.assign(text=["<|end|>" + text for text in rows["text"]])
    longer = predictions(made_inputs(tmp_path / "other", other, frames), tmp_path / "model")
    assert (longer["n_text_tokens"] == together["n_text_tokens"] + len("<|end|>")).all()
    assert (longer["p_loud"] - together["p_loud"]).abs().max() > 1e-4


def test_audio_alone_is_asked_about_without_its_words(tmp_path, rows, frames, inputs, lm):
    fit(inputs, tmp_path / "model", lm, **AUDIO)
    found = predictions(inputs, tmp_path / "model")
    assert set(found["n_text_tokens"]) == {0}
    other = made_inputs(tmp_path / "other", rows.assign(text="the river"), frames)
    pd.testing.assert_frame_equal(predictions(other, tmp_path / "model"), found)


def test_the_chat_template_has_the_question_after_the_speech(tmp_path, rows, inputs, lm):
    """The transcript, too, is an answer."""
    read, real = [], speech_curriculum.SpeechReader.inputs

    def observed(reader, examples):
        read.append(examples)
        return real(reader, examples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech_curriculum.SpeechReader, "inputs", observed)
        fit(inputs, tmp_path, lm, training="lora", **AUDIO)
    tokenizer = small_speech_lm_model.open(tmp_path).answering.tokenizer
    assert tokenizer.chat_template == CHAT

    def said(examples):
        row = examples.iloc[0]
        return row, tokenizer.decode(row["input_ids"][row["part"] != 1])

    first, text = said(read[0])
    assert (
        text
        == f"<|begin|>user\n\nWrite down what was said.<|end|>\n<|begin|>assistant\n{first['text']}"
    )
    asked = next(examples for examples in read if "answer" in examples)
    first, text = said(asked)
    assert text == (
        f"<|begin|>user\n\ncalm, loud?<|end|>\n<|begin|>assistant\n{first['label']}<|end|>"
    )


def test_models_that_cannot_be_asked_are_refused(tmp_path, inputs):
    with pytest.raises(InputError, match=r"lm\.name: .* is a masked language model"):
        fit(inputs, tmp_path / "a", tiny_lm(tmp_path / "bert", "bert"))
    with pytest.raises(InputError, match=r"lm\.name: .* has no chat template"):
        fit(inputs, tmp_path / "b", tiny_lm(tmp_path / "llama", "llama"))
    path = save_chat(tmp_path / "chat", LlamaConfig)
    short = LanguageModel(name=path, max_length=60, precision="fp32")
    with pytest.raises(InputError, match=r"lm\.max_length: the prompt alone takes"):
        fit(inputs, tmp_path / "c", short)


@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        ({"prompt": "Which one?", "inputs": ["audio"]}, r"has no \{labels\}"),
        ({"prompt": "{labels}?"}, r"has no \{text\}"),
        ({"prompt": "{text} {labels}?", "inputs": ["audio"]}, r"\{text\} is not known here"),
        ({"prompt": "{speech} {labels}?", "inputs": ["audio"]}, r"\{speech\} is not known here"),
        ({"inputs": ["text"]}, "name system: token_lm"),
    ],
)
def test_a_prompt_has_what_it_needs(arm, problem):
    with pytest.raises(ValueError, match=problem):
        SmallSpeechLM(system="small_speech_lm", **arm)
