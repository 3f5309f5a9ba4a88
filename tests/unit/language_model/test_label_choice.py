"""The likeliest of some labels, against each one scored by itself, without padding or cache."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tests.unit.tiny_models import CAUSAL, save_chat
from transformers import AutoModelForCausalLM, AutoTokenizer

from speechlasso.errors import InputError
from speechlasso.language_model.answer_training import answer_log_likelihood, with_answers
from speechlasso.language_model.encoding import FRAME
from speechlasso.language_model.label_choice import (
    Answers,
    label_log_likelihoods,
    label_probabilities,
)
from speechlasso.language_model.loss import IGNORED
from speechlasso.training.batching import model_inputs, padded

# One begins another, one is a single token ("Ġcat") before the end.
LABELS = ["old", "old and new", " cat", "dog"]
PROMPTS = ["the cat saw", "a", "the old dog heard the river and was new", "the garden"]
MODELS = ["llama", "qwen2", "qwen3", "gpt2", "opt", "pythia", "gemma2", "gemma3"]
NARROW = {"gemma2": {"sliding_window": 6}, "gemma3": {"sliding_window": 6}}


class PlainReader:
    def __init__(self, lm):
        self.lm = lm

    def read(self, **inputs):
        return self.lm(**inputs)


@pytest.fixture(params=MODELS)
def opened(request, tmp_path):
    config, options = CAUSAL[request.param]
    options = options | NARROW.get(request.param, {}) | {"initializer_range": 0.2}
    path = save_chat(tmp_path, config, **options)
    model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager").eval()
    return PlainReader(model), AutoTokenizer.from_pretrained(path)


def encoded(tokenizer, prompts=PROMPTS):
    ids = [np.array(tokenizer(text)["input_ids"]) for text in prompts]
    return pd.DataFrame({"input_ids": ids, "part": [np.full(len(i), FRAME) for i in ids]})


def inputs(examples):
    return model_inputs(examples["input_ids"].tolist(), 0)


@torch.no_grad()
def by_itself(model, prompt, answer):
    """The sum, token by token, of what the model says of the answer."""
    ids = torch.tensor([*prompt, *answer])[None]
    log_p = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(dim=1)
    return sum(log_p[len(prompt) - 1 + k, token].item() for k, token in enumerate(answer))


def test_log_likelihoods_are_those_of_each_answer_by_itself(opened):
    reader, tokenizer = opened
    answers, examples = Answers.of(tokenizer, LABELS), encoded(tokenizer)
    expected = [
        [by_itself(reader.lm, prompt, answer) for answer in answers.ids]
        for prompt in examples["input_ids"]
    ]
    found = label_log_likelihoods(reader, inputs(examples), answers)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)
    # Two prompts at a time; and what else is in a batch changes nothing.
    weights = np.exp(expected)
    probabilities = label_probabilities(reader, examples, inputs, answers, 8)
    np.testing.assert_allclose(
        probabilities, weights / weights.sum(axis=1, keepdims=True), atol=1e-4
    )
    one_token = Answers([ids[:1] for ids in answers.ids])
    first = label_log_likelihoods(reader, inputs(examples), one_token)
    for row, prompt in zip(first, examples["input_ids"], strict=True):
        alone = [by_itself(reader.lm, prompt, ids) for ids in one_token.ids]
        np.testing.assert_allclose(row.numpy(), alone, atol=2e-4)


def test_what_training_maximises_is_the_log_likelihood_of_the_right_answer(opened):
    reader, tokenizer = opened
    answers, examples = Answers.of(tokenizer, LABELS), encoded(tokenizer)
    right = [2, 0, 1, 3]
    told = with_answers(examples, [answers.ids[index] for index in right])
    batch = inputs(told) | {"answer": padded(told["answer"].tolist(), IGNORED)}
    found = answer_log_likelihood(reader, batch, answers.longest)
    expected = label_log_likelihoods(reader, inputs(examples), answers)
    torch.testing.assert_close(
        found, expected[range(4), right], rtol=1e-4, atol=2e-4, check_dtype=False
    )
    found.sum().backward()
    assert reader.lm.get_input_embeddings().weight.grad.any()
    # Longer room than any answer needs is no other answer.
    torch.testing.assert_close(
        answer_log_likelihood(reader, batch, answers.longest + 3), found, rtol=1e-4, atol=2e-4
    )


def test_an_answer_ends_so_that_none_begins_another(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_chat(tmp_path, *CAUSAL["llama"][:1]))
    answers = Answers.of(tokenizer, LABELS)
    assert [tokenizer.decode(ids) for ids in answers.ids] == [f"{name}<|end|>" for name in LABELS]
    assert answers.longest == max(map(len, answers.ids))
    with pytest.raises(InputError, match="cannot tell the label 'cat' from 'cat'"):
        Answers.of(tokenizer, ["cat", "cat"])
