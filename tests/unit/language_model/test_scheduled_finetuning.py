"""Fine-tuning on the examples of a schedule."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tiny_models import made_examples, save_bert
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from speechlasso.data.schedule import schedule_examples
from speechlasso.data.settings import Schedule
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.classification import classification_task
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.finetuning import _reading, finetune
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.language_model.token_text import new_token_names, scheduled, token_text

N_AUDIO = 10


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm") / "bert"
    return LanguageModel(name=save_bert(folder), max_length=120, precision="fp32")


@pytest.fixture(scope="module")
def texts():
    made = made_examples(48, 12, n_audio_tokens=N_AUDIO, seed=0)
    pairs = zip(made["text"], made["audio_tokens"], strict=True)
    return made.assign(token_text=[token_text(*pair) for pair in pairs])


def examples_of(texts, scheme, fraction=0.25):
    schedule = Schedule(scheme=scheme, speech_fraction=fraction)
    return schedule_examples(texts[texts["split"] == "train"], schedule, 1, "0")


def log_of(examples, lm, folder, **settings):
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, "patience": 9} | settings
    result = finetune(
        examples,
        folder,
        lm=lm,
        settings=Finetune(**settings),
        criterion=Criterion(),
        new_tokens=NewTokens(N_AUDIO, None),
        seed=1,
    )
    return result.log.drop(columns="seconds")


def test_rows_without_speech_are_read_as_text_only_inputs_write_them(texts, lm):
    found = scheduled(texts, examples_of(texts, "direct_mix"))
    train = found[found["split"] == "train"]
    assert len(train) == 48 + 12
    silent, spoken = train[train["audio_tokens"].isna()], train[train["audio_tokens"].notna()]
    assert list(silent["token_text"]) == list(texts.loc[texts["split"] == "train", "text"])
    original = texts.set_index("id").loc[spoken["id"]]
    assert list(spoken["token_text"]) == list(original["token_text"])
    others = found[found["split"] != "train"].drop(columns="phase").reset_index(drop=True)
    expected = texts[texts["split"] != "train"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others[expected.columns], expected)

    tokenizer = AutoTokenizer.from_pretrained(lm.name)
    tokenizer.add_tokens(new_token_names(N_AUDIO))
    found = encode(tokenizer, train, 120)["input_ids"]
    for written, ids in zip(train["token_text"], found, strict=True):
        assert ids.tolist() == tokenizer(written)["input_ids"]


def test_one_phase_trains_as_the_same_rows_without_a_schedule(texts, lm, tmp_path):
    rows = scheduled(texts, examples_of(texts, "direct_mix"))
    plain = rows.drop(columns="phase")
    log = log_of(rows, lm, tmp_path / "a")
    pd.testing.assert_frame_equal(log, log_of(plain, lm, tmp_path / "b"), check_exact=True)
    # All with speech as well is not the same.
    assert not log.equals(log_of(texts, lm, tmp_path / "c"))


def test_a_curriculum_reads_text_first_and_then_the_rows_with_speech(texts, lm, tmp_path):
    # Balanced weights are those of all examples, which differ.
    options = {"epochs": 5, "class_weights": "none"}
    course = examples_of(texts, "curriculum")
    log = log_of(scheduled(texts, course), lm, tmp_path / "a", **options)
    text = log_of(scheduled(texts, examples_of(texts, "text_only")), lm, tmp_path / "b", **options)
    same = log["train_loss"].to_numpy() == text["train_loss"].to_numpy()
    assert same.tolist() == [True, True, True, False, False]

    # What rows outside of the part sound like does not matter; what those within do, does.
    heard = texts["id"].isin(course.loc[course["speech"], "id"])
    for changed, reads in ((heard, True), (~heard & (texts["split"] == "train"), False)):
        other = texts.copy()
        other.loc[changed, "audio_tokens"] = pd.Series(
            [np.zeros(3, dtype=int)] * changed.sum(), index=other.index[changed]
        )
        found = log_of(scheduled(other, course), lm, tmp_path / f"{reads}", **options)
        same = found["train_loss"].to_numpy() == log["train_loss"].to_numpy()
        assert same.tolist() == ([True] * 3 + [not reads] * 2)


@pytest.mark.parametrize("epochs", [2, 5])
def test_with_all_speech_a_curriculum_reads_every_example_in_every_epoch(texts, lm, epochs):
    tokenizer = AutoTokenizer.from_pretrained(lm.name)
    tokenizer.add_tokens(new_token_names(N_AUDIO))
    rows = scheduled(texts, examples_of(texts, "curriculum", fraction=1))
    rows = rows.assign(
        input_ids=encode(tokenizer, rows, 120)["input_ids"],
        class_index=pd.factorize(rows["label"])[0],
    )
    settings = Finetune(epochs=epochs, batch_size=7)
    classifier = AutoModelForSequenceClassification.from_pretrained(lm.name)
    reading = _reading(classifier, settings, [])
    classes = sorted(rows["label"].unique())
    task = classification_task(rows, classes, reading, settings, Criterion(), 1, None)

    def ids_read(epoch):
        return sorted(
            ids[mask.bool()].tolist()
            for batch in task.batches(epoch)
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        )

    train = texts[texts["split"] == "train"]
    for epoch in range(1, epochs + 1):
        written = train["text"] if epoch <= -(-epochs // 2) else train["token_text"]
        assert ids_read(epoch) == sorted(tokenizer(list(written))["input_ids"])


def test_no_model_that_has_not_heard_any_speech_is_the_best_one(texts, lm, tmp_path):
    rows = scheduled(texts, examples_of(texts, "curriculum"))
    log = log_of(rows, lm, tmp_path, epochs=4, learning_rate=1e-9)
    assert log["macro_f1"].nunique() == 1
    assert log.loc[log["best"], "epoch"].item() == 3, "after two epochs of text"


def test_a_curriculum_needs_an_epoch_for_each_phase():
    with pytest.raises(ValidationError, match="curriculum needs two epochs"):
        Finetune(epochs=1, schedule={"scheme": "curriculum"})
