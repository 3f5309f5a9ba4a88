"""A language model that hears, against transformers' own `inputs_embeds` and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.spoken_words import made_frames, made_inputs, made_rows
from tests.unit.tiny_models import save_any
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from speechlasso.features.frame_files import FrameFiles
from speechlasso.language_model.encoding import AUDIO, TEXT
from speechlasso.language_model.loss import IGNORED
from speechlasso.language_model.pretrained import load_model, load_tokenizer
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.speech_adapter import SpeechAdapter
from speechlasso.language_model.speech_reader import SpeechReader, encoded_with_speech
from speechlasso.language_model.transcription import transcription_task, with_body_of

MODELS = ["bert", "roberta", "deberta-v3", "modernbert", "llama", "untied llama", "gpt2", "gemma3"]
DECODERS = ("llama", "untied llama", "gpt2", "gemma3")


@pytest.fixture(scope="module")
def rows():
    return made_rows(6)


@pytest.fixture(scope="module")
def frames(tmp_path_factory, rows):
    inputs = made_inputs(tmp_path_factory.mktemp("inputs"), rows, made_frames(rows))
    return FrameFiles(inputs["frames"]).by_id([0, 2])


def opened(folder, name, auto_class, frames, rows, **options):
    lm = LanguageModel(name=save_any(folder / name, name), max_length=100, precision="fp32")
    loaded, tokenizer = load_model(lm, auto_class, seed=1, **options), load_tokenizer(lm)
    loaded.model.config.pad_token_id = tokenizer.pad_token_id
    size = loaded.model.get_input_embeddings().weight.shape[1]
    torch.manual_seed(3)
    adapter = SpeechAdapter(2, 6, size, reduction=2)
    reader = SpeechReader(loaded.model, adapter, frames, rows["id"].tolist()).eval()
    return reader, tokenizer, encoded_with_speech(rows, reader, tokenizer, 100), lm


def embedded(reader, example):
    """What the model reads of one example, (1, length, size), put together by hand."""
    ids, is_speech = example["input_ids"], example["part"] == AUDIO
    of_clip = torch.from_numpy(reader.frames.read(example["id"])).float()[None]
    vectors = reader.adapter(of_clip, torch.tensor([of_clip.shape[1]]))[0]
    rows = reader.lm.get_input_embeddings()(torch.from_numpy(ids)).clone()
    rows[torch.from_numpy(is_speech)] = vectors
    return rows[None]


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_it_reads_what_inputs_embeds_would_say(tmp_path, rows, frames, name):
    """All in one batch, padded, and one by one without any padding or ids."""
    reader, _, encoded, _ = opened(
        tmp_path, name, AutoModelForSequenceClassification, frames, rows, num_labels=3
    )
    found = reader.logits(reader.inputs(encoded))
    alone = torch.cat(
        [reader.lm(inputs_embeds=embedded(reader, e)).logits for _, e in encoded.iterrows()]
    )
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
    probabilities = reader.class_probabilities(encoded, 4)
    np.testing.assert_allclose(probabilities, alone.softmax(dim=1).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_transcription_has_the_loss_of_transformers(tmp_path, rows, frames, name):
    is_causal = name in DECODERS
    auto_class = AutoModelForCausalLM if is_causal else AutoModelForMaskedLM
    reader, tokenizer, encoded, _ = opened(tmp_path, name, auto_class, frames, rows)
    reader.lm.requires_grad_(False)
    task = transcription_task(
        encoded,
        reader,
        tokenizer,
        "causal" if is_causal else "masked",
        mask_probability=1.0,
        batch_size=6,
        seed=1,
    )
    (batch,) = task.batches(1)
    loss = task.loss(reader, batch)
    reference, n = torch.zeros(()), 0
    for row, labels in zip(batch["utterance"].tolist(), batch["labels"], strict=True):
        example = encoded.iloc[row].copy()
        (place,) = (batch["utterance"] == row).nonzero(as_tuple=True)[0].tolist()
        length = len(example["input_ids"])
        example["input_ids"] = batch["input_ids"][place, :length].numpy()
        logits = reader.lm(inputs_embeds=embedded(reader, example)).logits[0]
        labels = labels[:length]
        total = torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=IGNORED, reduction="sum"
        )
        reference, n = reference + total, n + int((labels != IGNORED).sum())
        words = encoded.iloc[row]["input_ids"][example["part"] == TEXT].tolist()
        told = labels[labels != IGNORED].tolist()
        # Each word once and, of a decoder, the end.
        assert told == [*words, tokenizer.eos_token_id] if is_causal else told == words
    assert task.weight(batch) == n
    torch.testing.assert_close(loss, reference, rtol=1e-4, atol=1e-4)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in reader.adapter.parameters())


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_both_heads_read_the_same_body(tmp_path, rows, frames, name):
    reader, _, encoded, lm = opened(
        tmp_path, name, AutoModelForSequenceClassification, frames, rows, num_labels=3
    )
    auto_class = AutoModelForCausalLM if name in DECODERS else AutoModelForMaskedLM
    own = load_model(lm, auto_class, seed=1)
    batch = {key: value for key, value in reader.inputs(encoded).items() if "_" in key}
    batch.pop("is_speech")
    before = own.model.eval()(**batch).logits
    shared = with_body_of(own, reader.lm).eval()
    torch.testing.assert_close(shared(**batch).logits, before)
    body = {id(p) for p in reader.lm.base_model.parameters()}
    assert body >= {id(p) for p in shared.base_model.parameters()}
    tied = shared.config.tie_word_embeddings
    assert (id(shared.get_output_embeddings().weight) in body) == tied
    assert not any(p.requires_grad for p in shared.parameters())
