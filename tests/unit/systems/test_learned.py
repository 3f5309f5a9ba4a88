"""The system learned: what each stage trains, what it reads, and what it leaves behind."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tests.unit.made_voices import voice
from tests.unit.spoken_words import PROBABILITIES, best_epoch, made_inputs, tiny_lm, training
from tests.unit.tiny_models import save_causal, save_masked
from transformers import BertConfig, LlamaConfig

from speechlasso.errors import InputError
from speechlasso.evaluation.without_audio import COLUMN
from speechlasso.features.encoders import open_encoder
from speechlasso.features.frame_files import FrameKind
from speechlasso.features.settings import Encoder
from speechlasso.language_model import speech_finetuning
from speechlasso.language_model.prediction import Classifier
from speechlasso.language_model.settings import LanguageModel
from speechlasso.systems import learned_model
from speechlasso.systems.learned import Learned

MODELS = ["bert", "headless bert", "llama"]
HEADS = ("lm.classifier.", "lm.score.")
NEW_HEAD = "lm.cls."
# Of a classifier, in files of a masked language model; it is learned with the head.
MISSING = {"bert": ("lm.bert.pooler.",)}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: tiny_lm(folder / name, name) for name in MODELS}


def fit(files, folder, lm, **settings):
    folder.mkdir(exist_ok=True)
    said = learned_model.fit(files, training(lm, **settings), folder, threads=1)
    return said, pd.read_csv(folder / "training_log.csv")


def predictions(inputs, folder):
    return learned_model.open(folder).predict(inputs, threads=1)


@pytest.mark.parametrize("name", MODELS)
def test_each_stage_changes_what_is_its_own(tmp_path, inputs, models, changed, name):
    said, log = fit(inputs, tmp_path, models[name])
    assert list(changed) == ["transcription", "warm_up", "task"]
    assert log["stage"].tolist() == ["transcription"] * 2 + ["warm_up"] + ["task"] * 2
    adapter = {n for n in changed["transcription"] if n.startswith("adapter.")}
    assert "adapter.layer_scores" in adapter
    assert sum(n.startswith("adapter.convolutions.") for n in adapter) == 2
    of_head = {n for n in changed["transcription"] if n.startswith(NEW_HEAD)}
    # One that the model's files lack learns along, to be left behind.
    assert bool(of_head) == (name == "headless bert")
    assert changed["transcription"] == adapter | of_head
    for stage in ("warm_up", "task"):
        updates = {n for n in changed[stage] if ".lora_" in n}
        head = {n for n in changed[stage] if n.startswith((*HEADS, *MISSING.get(name, ())))}
        rest = changed[stage] - updates - head - adapter
        assert updates and adapter <= changed[stage]
        assert bool(head) == (stage == "task")
        assert all(n.startswith(NEW_HEAD) for n in rest)
    assert sum(said["layer_weights"]) == pytest.approx(1)
    assert said["layer_weights"][0] != said["layer_weights"][1]


@pytest.mark.parametrize(
    ("save", "config"), [(save_masked, BertConfig), (save_causal, LlamaConfig)]
)
def test_the_stages_lower_their_losses_and_the_tone_is_learned(
    tmp_path, inputs, save, config, monkeypatch
):
    """Of models whose weights are large enough to tell what they read apart."""
    # Where there is a GPU: how fast so few steps learn is that of a processor's random numbers.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    name = save(tmp_path / "lm", config, initializer_range=0.2)
    lm = LanguageModel(name=name, max_length=100, precision="fp32")
    transcription = {"epochs": 8, "warm_up_epochs": 4, "learning_rate": 0.03}
    finetune = {"epochs": 8, "batch_size": 8, "patience": 8, "learning_rate": 0.02}
    _, log = fit(inputs, tmp_path, lm, finetune=finetune, transcription=transcription)
    losses = {stage: part["train_loss"].to_numpy() for stage, part in log.groupby("stage")}
    assert losses["transcription"][-1] < 0.9 * losses["transcription"][0]
    assert losses["warm_up"][-1] < losses["warm_up"][0]
    assert losses["warm_up"].min() < losses["transcription"].min()
    assert losses["task"].min() < 0.2 * losses["task"][0]
    found = predictions(inputs, tmp_path)
    right = found["predicted"] == found["label"]
    assert right[found["split"] != "train"].mean() > 0.75


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_a_saved_folder_predicts_as_the_model_in_training_did(tmp_path, rows, inputs, models, name):
    said, log = fit(inputs, tmp_path, models[name])
    found = predictions(inputs, tmp_path)
    assert found["id"].tolist() == rows["id"].tolist()
    best = best_epoch(log[log["stage"] == "task"], found)
    assert dict(said["validation_macro_f1"])[best["epoch"]] == best["macro_f1"]
    # Vectors of three frames each.
    assert found["n_audio_tokens"].between(2, 7).all()
    # Nothing but the model's own files, safetensors and JSON.
    assert not list(tmp_path.glob("adapter_config*"))
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {
        *(".json", ".csv", ".safetensors")
    }
    trainable = said["trainable_parameters"]
    assert 0 < trainable < 40_000
    assert said["train_seconds"] > 0
    # Words and vectors of a training example, and the special tokens around them.
    read = found.loc[found["split"] == "train", ["n_text_tokens", "n_audio_tokens"]].sum(axis=1)
    n_special = said["mean_sequence_length"] - read.mean()
    assert n_special == pytest.approx(round(n_special)) and 1 <= n_special <= 3


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_predictions_do_not_depend_on_the_batch(tmp_path, rows, frames, inputs, models, name):
    fit(inputs, tmp_path / "model", models[name], transcription={"epochs": 1, "warm_up_epochs": 0})
    together = predictions(inputs, tmp_path / "model")
    some = pd.concat([rows.iloc[[40]], rows.iloc[[3]]], ignore_index=True)
    alone = predictions(made_inputs(tmp_path / "some", some, frames), tmp_path / "model")
    np.testing.assert_allclose(
        alone[PROBABILITIES], together.loc[[40, 3], PROBABILITIES], atol=1e-6
    )


def test_the_same_seed_gives_the_same_bytes_and_other_rows_change_nothing(
    tmp_path, rows, frames, inputs, models
):
    """Rows to test on have other words, labels and speech; so have those to validate on."""
    one_epoch = {"finetune": {"epochs": 1}}
    fit(inputs, tmp_path / "first", models["bert"], **one_epoch)
    other = rows.copy()
    unseen = rows["split"] != "train"
    other.loc[unseen, "text"] = "the river"
    other.loc[unseen, "label"] = "calm"
    changed = {
        name: of_clip[::-1] * 2 if is_unseen else of_clip
        for (name, of_clip), is_unseen in zip(frames.items(), unseen, strict=True)
    }
    fit(
        made_inputs(tmp_path / "inputs", other, changed),
        tmp_path / "second",
        models["bert"],
        **one_epoch,
    )
    for name in ("model.safetensors", "adapter.safetensors", "learned.json", "config.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("reads", [["text", "audio"], ["audio"]])
def test_without_a_curriculum_nothing_is_transcribed(tmp_path, rows, frames, models, reads):
    """Training rows without words show it: they cannot be transcribed."""
    wordless = made_inputs(tmp_path / "inputs", rows.assign(text=None), frames)
    options = {"curriculum": "none", "inputs": reads}
    _, log = fit(wordless, tmp_path / "model", models["llama"], **options)
    assert set(log["stage"]) == {"task"}
    assert set(predictions(wordless, tmp_path / "model")["n_text_tokens"]) == {0}
    with pytest.raises(InputError, match=r"curriculum: no training row has both words and speech"):
        fit(wordless, tmp_path / "other", models["llama"])


def test_speech_alone_is_classified_without_its_words(tmp_path, rows, frames, inputs, models):
    fit(inputs, tmp_path / "model", models["bert"], inputs=["audio"], reduction=1, layers=[2])
    found = predictions(inputs, tmp_path / "model")
    assert set(found["n_text_tokens"]) == {0}
    assert found["n_audio_tokens"].tolist() == [len(frames[name]) for name in rows["id"]]
    other = made_inputs(tmp_path / "other", rows.assign(text="the river"), frames)
    pd.testing.assert_frame_equal(predictions(other, tmp_path / "model"), found)


def test_without_validation_rows_training_stops_after_the_epoch_that_inner_folds_chose(
    tmp_path, rows, frames, models
):
    learned = rows.assign(split=rows["split"].replace("validation", "train"))
    inputs = made_inputs(tmp_path / "inputs", learned, frames)
    path = tmp_path / "inner.json"
    path.write_text(json.dumps({"validation_macro_f1": [[1, 0.2], [2, 0.9], [3, 0.4]]}))
    said, log = fit(
        inputs | {"inner_fit_0": [str(path)]},
        tmp_path / "model",
        models["bert"],
        finetune={"epochs": 4},
    )
    assert log.loc[log["stage"] == "task", "epoch"].tolist() == [1, 2]
    assert said["validation_macro_f1"] == [[1, 0.2], [2, 0.9], [3, 0.4]]


def test_a_schedule_takes_the_speech_of_some_rows_away(tmp_path, rows, inputs, models, monkeypatch):
    """First all rows as text, then one with its speech."""
    learned = rows.loc[rows["split"] == "train", "id"]
    schedule = pd.DataFrame({"phase": 0, "id": learned, "speech": False})
    spoken = pd.DataFrame({"phase": 1, "id": learned.iloc[:1], "speech": True})
    path = tmp_path / "examples.parquet"
    pd.concat([schedule, spoken]).to_parquet(path)
    read, real = [], speech_finetuning.SpeechReader.logits

    def observed(reader, batch):
        if torch.is_grad_enabled():
            read.append((len(batch["utterance"]), int(batch["is_speech"].sum() > 0)))
        return real(reader, batch)

    monkeypatch.setattr(speech_finetuning.SpeechReader, "logits", observed)
    fit(inputs | {"examples": [str(path)]}, tmp_path / "model", models["bert"])
    assert sum(n for n, has_speech in read if not has_speech) == len(learned)
    assert [n for n, has_speech in read if has_speech] == [1]


def test_long_examples_keep_half_of_the_room_for_words_and_half_for_speech(
    tmp_path, rows, frames, inputs, models
):
    short = models["bert"].model_copy(update={"max_length": 16})
    fit(inputs, tmp_path / "model", short, curriculum="none")
    longer = {name: np.tile(of_clip, (9, 1, 1)) for name, of_clip in frames.items()}
    long = made_inputs(tmp_path / "long", rows.assign(text="the cat saw " * 9), longer)
    found = predictions(long, tmp_path / "model")
    assert found["cut"].all()
    assert set(found["n_text_tokens"]) == set(found["n_audio_tokens"]) == {7}


def test_log_mel_frames_are_learned_from_without_any_encoder(tmp_path, rows, models):
    """Labels are the pitch of a tone of 0.3 s: 30 frames, ten vectors."""
    encoder = open_encoder(Encoder(model="logmel"), None)
    pitch = {"calm": 150.0, "loud": 450.0}
    sounds = encoder.encode([voice(pitch[label], 0.3) for label in rows["label"]])
    frames = dict(zip(rows["id"], (of_clip.astype(np.float16) for of_clip in sounds), strict=True))
    kind = FrameKind(encoder.layers, encoder.frame_rate, {})
    made = made_inputs(tmp_path / "inputs", rows, frames, kind)
    finetune = {"epochs": 6, "patience": 6, "learning_rate": 0.02}
    options = {"curriculum": "none", "inputs": ["audio"], "finetune": finetune}
    said, _ = fit(made, tmp_path / "model", models["bert"], **options)
    assert said["layer_weights"] == [1.0]
    found = predictions(made, tmp_path / "model")
    assert set(found["n_audio_tokens"]) == {10}
    assert (found["predicted"] == found["label"]).mean() > 0.9


def test_text_alone_is_no_system_of_this_kind():
    with pytest.raises(ValueError, match="name system: token_lm"):
        Learned(system="learned", inputs=["text"])


def test_what_an_arm_does_not_read_makes_no_other_key():
    plain = Learned(system="learned", curriculum="none").as_read()
    other = Learned(
        system="learned", curriculum="none", transcription={"epochs": 3}, override={"lm": {}}
    ).as_read()
    assert plain == other


def test_without_its_speech_the_language_model_reads_the_words_alone(tmp_path, inputs, models):
    fit(inputs, tmp_path, models["bert"], transcription={"epochs": 1, "warm_up_epochs": 0})
    found = predictions(inputs, tmp_path)
    texts = pd.read_parquet(inputs["token_texts"][0]).assign(audio_tokens=None)
    alone = Classifier.open(tmp_path).predict(texts)
    test = found["split"] == "test"
    assert found.loc[test, COLUMN].tolist() == alone.loc[test, "predicted"].tolist()
    assert found.loc[~test, COLUMN].isna().all()
