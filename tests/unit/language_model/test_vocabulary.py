"""A tokenizer that is not the model's own is refused, whatever transformers makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_models import CAUSAL, MASKED, save_any, wordpiece_tokenizer
from tiny_trained_model import make_trained_model
from tokenizers import AddedToken
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from speechlasso.errors import InputError
from speechlasso.language_model.prediction import Classifier
from speechlasso.language_model.pretrained import load_model, load_tokenizer
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.vocabulary import check_vocabulary


def settings(folder):
    return LanguageModel(name=str(folder), max_length=64)


def remove_tokenizer(folder, *, config):
    """All files of the tokenizer, or all but its settings."""
    for path in folder.glob("*token*"):
        if config or path.name != "tokenizer_config.json":
            path.unlink()


@pytest.mark.parametrize("name", [*CAUSAL, *MASKED])
def test_models_without_their_tokenizer_files_are_refused(tmp_path, name):
    save_any(tmp_path, name)
    load_tokenizer(settings(tmp_path))
    for config in (False, True):
        remove_tokenizer(tmp_path, config=config)
        with pytest.raises(InputError, match="lm.name"):
            load_tokenizer(settings(tmp_path))


@pytest.mark.parametrize(
    ("model", "other", "words"),
    [
        ("bert", "roberta", "too few for 196 tokens"),
        ("roberta", "bert", "knows 70 tokens, but its embedding has 266 rows"),
    ],
)
def test_the_tokenizer_of_another_model_is_refused(tmp_path, model, other, words):
    folder, source = tmp_path / "model", tmp_path / "other"
    save_any(folder, model)
    save_any(source, other)
    for path in source.glob("*token*"):
        shutil.copy(path, folder)
    with pytest.raises(InputError, match=words):
        load_tokenizer(settings(folder))


def test_spare_rows_and_idle_special_tokens_are_no_fault():
    tokenizer = wordpiece_tokenizer()
    n_tokens = len(tokenizer)
    check_vocabulary(tokenizer, n_tokens + n_tokens // 4, "x")
    # As Gemma 3's vocabulary ends with a token for images.
    tokenizer.add_tokens([AddedToken("<image>", special=True)], special_tokens=True)
    check_vocabulary(tokenizer, n_tokens, "x")
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    with pytest.raises(InputError, match="x: its embedding .* such as '<mask>'"):
        check_vocabulary(tokenizer, n_tokens, "x")
    tokenizer = wordpiece_tokenizer()
    tokenizer.add_tokens(["word"])
    with pytest.raises(InputError, match="such as 'word'"):
        check_vocabulary(tokenizer, n_tokens, "x")


def test_padding_without_a_row_is_not_used(tmp_path):
    save_any(tmp_path, "llama")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(settings(tmp_path)).pad_token == "<|end|>"


def test_a_config_that_does_not_fit_its_weights_is_refused(tmp_path):
    save_any(tmp_path, "bert")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 71}))
    with pytest.raises(InputError, match=r"does not fit its weights.*embeddings\.word_embeddings"):
        load_model(
            settings(tmp_path),
            AutoModelForSequenceClassification,
            seed=1,
            ignore_mismatched_sizes=True,
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("trained"), ("text",), epochs=1).folder


@pytest.fixture
def model_folder(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.mark.parametrize("config", [False, True])
def test_a_trained_model_without_its_tokenizer_is_refused(model_folder, config):
    Classifier.open(model_folder)
    remove_tokenizer(model_folder, config=config)
    with pytest.raises(InputError, match="model: "):
        Classifier.open(model_folder)


def test_a_trained_model_with_another_tokenizer_of_its_size_is_refused(model_folder):
    content = json.loads((model_folder / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    words["cat"], words["dog"] = words["dog"], words["cat"]
    (model_folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="was trained with another tokenizer"):
        Classifier.open(model_folder)


def test_a_tokenizer_saved_anew_is_the_same(model_folder):
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(model_folder)
    assert Classifier.open(model_folder).classes == ["calm", "loud"]
