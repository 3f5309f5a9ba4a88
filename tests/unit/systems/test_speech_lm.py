"""The system speech_lm, with a tiny random model of Qwen2-Audio's own class and processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from tests.unit.spoken_words import PROBABILITIES, best_epoch
from tests.unit.tiny_audio_lm import LONGEST, RATE, made_tones, save_audio_lm, written
from tests.unit.tiny_models import save_llama
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

from speechlasso.audio.reading import read_utterance
from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.audio_language_model import FEATURES
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.pipeline.stages import FinetuneLM
from speechlasso.systems import speech_lm_model
from speechlasso.systems.speech_lm import SpeechLM


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_audio_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_tones(tmp_path_factory.mktemp("inputs"), 24)


@pytest.fixture(scope="module")
def asked(tmp_path_factory, lm, made):
    """A model that is only asked, and what it says."""
    folder = tmp_path_factory.mktemp("asked")
    fit(made[1], folder, lm)
    return folder, predictions(made[1], folder)


def fit(files, folder, lm, finetune=None, **arm):
    Path(folder).mkdir(exist_ok=True)
    options = {"system": "speech_lm", "inputs": ["audio"], "prompt": "{labels}?"} | arm
    system = SpeechLM(**options)
    usual = {"epochs": 6, "learning_rate": 0.05, "batch_size": 6, "lora": {"rank": 4}}
    settings = FinetuneLM(
        arm=system.as_read(),
        lm=LanguageModel(name=lm, precision="fp32"),
        finetune=system.finetune_as_read(Finetune(**usual | (finetune or {}))),
        criterion=Criterion(metric="macro_f1", positive_label="loud"),
        seed=1 if system.training == "lora" else None,
    )
    return speech_lm_model.fit(files, settings, Path(folder), threads=1)


def predictions(files, folder):
    return speech_lm_model.open(folder).predict(files, threads=1)


@torch.no_grad()
def by_itself(lm, text, waveform, labels):
    """Probabilities of labels, each scored by a pass of its own over what the processor makes."""
    model = Qwen2AudioForConditionalGeneration.from_pretrained(lm).eval()
    processor = AutoProcessor.from_pretrained(lm)
    totals = []
    for label in labels:
        of_label = processor.tokenizer(f"{label}<|im_end|>")["input_ids"]
        read = processor(
            text=text + label + "<|im_end|>",
            audio=waveform,
            sampling_rate=RATE,
            return_tensors="pt",
        )
        log_p = model(**read).logits[0].double().log_softmax(dim=1)
        places = range(log_p.shape[0] - len(of_label) - 1, log_p.shape[0] - 1)
        totals.append(sum(log_p[k, t].item() for k, t in zip(places, of_label, strict=True)))
    weights = np.exp(np.array(totals) - max(totals))
    return weights / weights.sum()


def test_it_asks_about_the_sound_in_the_models_own_chat_template(lm, made, asked):
    """In a batch with others, and by itself without padding, cache or this project's code."""
    utterances, _ = made
    _, found = asked
    for row in (0, 3, 5):
        waveform = read_utterance(utterances["audio"][row], RATE)
        text = (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
            "Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\ncalm, loud?<|im_end|>\n"
            "<|im_start|>assistant\n"
        )
        expected = by_itself(lm, text, waveform, ["calm", "loud"])
        np.testing.assert_allclose(found.loc[row, PROBABILITIES].tolist(), expected, atol=1e-4)
    # 25 vectors a second.
    seconds = [len(read_utterance(paths, RATE)) / RATE for paths in utterances["audio"]]
    assert (found["n_audio_tokens"] - 25 * np.array(seconds)).abs().max() <= 1
    assert not found["cut"].any() and set(found["n_text_tokens"]) == {0}


def test_the_sound_reaches_the_model(tmp_path, made, asked, monkeypatch):
    """Other sound of the same length has other probabilities, and features are what differs."""
    utterances, files = made
    folder, found = asked
    other = utterances.copy()
    other["audio"] = [
        [_other(path, tmp_path / f"{row}-{part}.wav") for part, path in enumerate(paths)]
        for row, paths in enumerate(utterances["audio"])
    ]
    heard, real = [], Qwen2AudioForConditionalGeneration.forward

    def observed(model, **inputs):
        heard.append({name for name, value in inputs.items() if value is not None})
        return real(model, **inputs)

    monkeypatch.setattr(Qwen2AudioForConditionalGeneration, "forward", observed)
    changed = predictions(written(tmp_path / "files", other), folder)
    assert changed["n_audio_tokens"].tolist() == found["n_audio_tokens"].tolist()
    assert ((changed["p_loud"] - found["p_loud"]).abs() > 1e-4).all()
    assert {FEATURES, "feature_attention_mask"} <= heard[0] - heard[1]


def _other(path, target):
    noise = np.random.default_rng(3).normal(0, 0.2, soundfile.info(path).frames)
    soundfile.write(target, noise, RATE)
    return str(target)


def test_a_processor_that_makes_nothing_of_the_sound_is_refused(made, asked, monkeypatch):
    """As those do that take the sound by another name."""
    fitted = speech_lm_model.open(asked[0])
    real = type(fitted.processor).__call__
    monkeypatch.setattr(
        type(fitted.processor),
        "__call__",
        lambda self, text, audio, **options: real(
            self, text=[t.replace("<|AUDIO|>", "") for t in text], audios=audio, **options
        ),
    )
    with pytest.raises(InputError, match="made no input_features of the sound"):
        fitted.predict(made[1], threads=1)


def test_zero_shot_learns_nothing(tmp_path, lm, made, asked):
    utterances, _ = made
    folder, found = asked
    other = utterances.copy()
    train = (utterances["split"] == "train").to_numpy()
    other.loc[train, "label"] = utterances.loc[train, "label"].to_numpy()[::-1]
    assert not other["label"].equals(utterances["label"])
    files = written(tmp_path / "files", other)
    said = fit(files, tmp_path / "model", lm, finetune={"epochs": 9, "lora": {"rank": 2}})
    assert said["trainable_parameters"] == 0 and said["validation_macro_f1"] == []
    for name in ("speech_lm.json", "updates.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    assert not load_file(folder / "updates.safetensors")
    again = predictions(files, tmp_path / "model")
    pd.testing.assert_frame_equal(again[PROBABILITIES], found[PROBABILITIES])


def test_low_rank_updates_alone_learn_the_pitch(tmp_path, lm, made, changed):
    _, files = made
    said = fit(files, tmp_path, lm, training="lora")
    (updated,) = changed.values()
    assert updated and all(".lora_" in name for name in updated)
    assert all(".language_model." in name for name in updated)
    # Of the model's own weights none is written.
    updates = load_file(tmp_path / "updates.safetensors")
    assert said["trainable_parameters"] == sum(map(torch.numel, updates.values()))
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        *("speech_lm.json", "updates.safetensors", "training_log.csv")
    }
    found = predictions(files, tmp_path)
    right = found["predicted"] == found["label"]
    assert right[found["split"] != "train"].mean() >= 0.75
    log = pd.read_csv(tmp_path / "training_log.csv")
    best_epoch(log, found)
    assert log["train_loss"].iloc[-1] < log["train_loss"].iloc[0]


def test_words_in_the_prompt_stay_words(tmp_path, lm, made):
    utterances, files = made
    fit(files, tmp_path / "model", lm, inputs=["text", "audio"], prompt=None)
    said = predictions(files, tmp_path / "model")
    spelled = utterances.assign(text="<|AUDIO|><|im_end|>the dog")
    other = predictions(written(tmp_path / "files", spelled), tmp_path / "model")
    assert other["n_audio_tokens"].tolist() == said["n_audio_tokens"].tolist()
    assert (other["n_text_tokens"] > said["n_text_tokens"]).all()
    assert (other["p_loud"] - said["p_loud"]).abs().max() > 1e-4


def test_sound_that_is_longer_than_the_model_hears_is_told(tmp_path, made, asked):
    long = made[0].iloc[:2].copy()
    soundfile.write(tmp_path / "long.wav", np.zeros((LONGEST + 1) * RATE), RATE)
    long["audio"] = [[str(tmp_path / "long.wav")], made[0]["audio"][1]]
    assert predictions(written(tmp_path / "files", long), asked[0])["cut"].tolist() == [True, False]


def test_clips_that_were_replaced_or_are_damaged_are_refused(tmp_path, made, asked):
    own = made[0].iloc[:2].copy()
    clip = tmp_path / "own.wav"
    soundfile.write(clip, np.zeros(RATE), RATE)
    own["audio"] = [[str(clip)], made[0]["audio"][1]]
    files = written(tmp_path / "files", own)
    soundfile.write(clip, np.ones(RATE) / 2, RATE)
    with pytest.raises(InputError, match=r"own\.wav: is not the clip that the manifest lists"):
        predictions(files, asked[0])
    clip.write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"own\.wav"):
        predictions(written(tmp_path / "others", own), asked[0])


def test_models_of_another_class_are_refused(tmp_path, lm, made):
    _, files = made
    with pytest.raises(InputError, match="has no model 'MuteForConditionalGeneration'"):
        fit(files, tmp_path / "a", lm, model_class="MuteForConditionalGeneration")
    with pytest.raises(InputError, match="is a qwen2_audio model, not a VoxtralForConditionalG"):
        fit(files, tmp_path / "b", lm, model_class="VoxtralForConditionalGeneration")
    with pytest.raises(InputError, match="is a llama model, not a Qwen2AudioForCond"):
        fit(files, tmp_path / "c", save_llama(tmp_path / "llama"))
    with pytest.raises(InputError, match="model: cannot load '.*nowhere'"):
        fit(files, tmp_path / "d", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="model_class"):
        SpeechLM(system="speech_lm", model_class="os.system")
    with pytest.raises(ValueError, match="name system: token_lm"):
        SpeechLM(system="speech_lm", inputs=["text"])
