"""From an encoder's layers to vectors: against the sums and convolutions spelt out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.language_model.speech_adapter import (
    SMALLEST_SPREAD,
    SpeechAdapter,
    prime_factors,
    standardisation,
)

N_LAYERS, N_FEATURES, SIZE = 3, 5, 4


def new_adapter(reduction: int, seed: int = 0) -> SpeechAdapter:
    torch.manual_seed(seed)
    adapter = SpeechAdapter(N_LAYERS, N_FEATURES, SIZE, reduction)
    rng = np.random.default_rng(seed)
    mean, spread = rng.normal(0, 3, (2, N_LAYERS, N_FEATURES)).astype(np.float32)
    adapter.start(mean, np.abs(spread) + 0.5, 0.1)
    torch.nn.init.normal_(adapter.layer_scores)
    return adapter


@given(st.integers(1, 400))
def test_strides_multiply_to_the_reduction(number):
    factors = prime_factors(number)
    assert math.prod(factors) == number
    assert factors == [1] or all(all(f % d for d in range(2, f)) and f > 1 for f in factors)


@given(st.lists(st.floats(-30, 30), min_size=N_LAYERS, max_size=N_LAYERS))
def test_layer_weights_sum_to_one(scores):
    adapter = new_adapter(1)
    adapter.layer_scores.data = torch.tensor(scores)
    assert adapter.layer_weights.sum().item() == pytest.approx(1, abs=1e-6)
    assert (adapter.layer_weights >= 0).all()


@torch.no_grad()
def test_vectors_are_a_weighted_sum_convolved_and_normed():
    adapter = new_adapter(reduction=3)
    frames = np.random.default_rng(1).normal(0, 2, (7, N_LAYERS, N_FEATURES)).astype(np.float32)
    scores = adapter.layer_scores.numpy().astype(np.float64)
    weights = np.exp(scores) / np.exp(scores).sum()
    standard = (frames - adapter.mean.numpy()) / adapter.spread.numpy()
    summed = np.einsum("tlf,l->tf", standard, weights)
    (convolution,) = adapter.convolutions
    kernel, bias = convolution.weight.numpy(), convolution.bias.numpy()
    around = np.pad(summed, ((2, 4), (0, 0)))
    rows = [np.einsum("kf,ofk->o", around[t : t + 5], kernel) + bias for t in (0, 3, 6)]
    rows = np.array(rows)
    deviation = np.sqrt(rows.var(axis=1, keepdims=True) + 1e-5)
    expected = 0.1 * (rows - rows.mean(axis=1, keepdims=True)) / deviation
    found = adapter(torch.from_numpy(frames)[None], torch.tensor([7]))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)


@torch.no_grad()
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.sampled_from([1, 2, 6, 8]))
def test_what_stands_after_an_utterance_changes_none_of_its_vectors(lengths, reduction):
    adapter = new_adapter(reduction)
    rng = np.random.default_rng(2)
    frames = torch.from_numpy(
        rng.normal(0, 9, (len(lengths), max(lengths), N_LAYERS, N_FEATURES)).astype(np.float32)
    )
    together = adapter(frames, torch.tensor(lengths))
    for of_clip, length, found in zip(frames, lengths, together, strict=True):
        alone = adapter(of_clip[None, :length], torch.tensor([length]))[0]
        assert len(alone) == -(-length // reduction)
        torch.testing.assert_close(found[: len(alone)], alone, rtol=1e-4, atol=1e-6)


def test_every_frame_is_read():
    adapter = new_adapter(reduction=8)
    frames = torch.randn(1, 21, N_LAYERS, N_FEATURES, requires_grad=True)
    adapter(frames, torch.tensor([21]))[0].square().sum().backward()
    assert (frames.grad[0].abs().sum(dim=(1, 2)) > 0).all()


def test_features_are_standardised_as_they_spread():
    rng = np.random.default_rng(3)
    clips = [rng.normal(5, 3, (n, 2, 4)).astype(np.float16) for n in (9, 1, 30)]
    for clip in clips:
        clip[:, 1, 2] = 7.0
    mean, spread = standardisation(clips)
    joined = np.concatenate(clips).astype(np.float64)
    np.testing.assert_allclose(mean, joined.mean(axis=0), rtol=1e-5)
    expected = np.maximum(joined.std(axis=0), SMALLEST_SPREAD)
    np.testing.assert_allclose(spread, expected, rtol=1e-4)


@torch.no_grad()
def test_an_adapter_comes_back_from_its_file(tmp_path):
    adapter = new_adapter(reduction=6)
    adapter.save(tmp_path)
    again = SpeechAdapter.open(tmp_path, 6).cpu()
    frames, lengths = torch.randn(2, 9, N_LAYERS, N_FEATURES), torch.tensor([9, 4])
    assert torch.equal(again(frames, lengths), adapter(frames, lengths))
