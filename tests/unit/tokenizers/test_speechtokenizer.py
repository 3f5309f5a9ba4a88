"""SpeechTokenizer against a plain reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_speechtokenizer import CONFIG, HOP, Reference, assert_close, embedded, sound

from speechlasso.errors import InputError
from speechlasso.tokenizers import speechtokenizer, speechtokenizer_encoder, speechtokenizer_lstm
from speechlasso.tokenizers.speechtokenizer import load

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "on_the_processor")]


@pytest.mark.parametrize("activation", ["ELU", "Snake"])
@settings(max_examples=30)
@given(n_samples=st.integers(1, 40) | st.integers(41, 800), seed=st.integers(0, 99))
def test_against_the_reference(activation, pairs, n_samples, seed) -> None:
    reference, tokenizer = pairs[activation]
    waveform = sound(seed, n_samples)
    embeddings = embedded(tokenizer, waveform)
    assert_close(embeddings, reference.embed(waveform))
    (codes,) = tokenizer.encode([waveform])
    assert codes.shape == (3, -(-n_samples // HOP))
    reference.assert_nearest(codes, embeddings)


@pytest.mark.parametrize("activation", ["ELU", "Snake"])
def test_every_short_length_against_the_reference(activation, pairs) -> None:
    """Where all convolutions meet their own reflections."""
    reference, tokenizer = pairs[activation]
    for n_samples in range(1, 41):
        waveform = sound(1, n_samples)
        assert_close(embedded(tokenizer, waveform), reference.embed(waveform))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_residual_layers": 1, "lstm_layers": 1},
        {"lstm_layers": 3, "residual_kernel_size": 5, "dilation_base": 2},
        {"strides": [5], "n_filters": 3, "n_residual_layers": 3},
        {"strides": [2, 1, 3], "residual_kernel_size": 1},
    ],
    ids=str,
)
def test_other_architectures(changes, tmp_path) -> None:
    reference = Reference({**CONFIG, **changes}, seed=1)
    tokenizer = load(reference.save(tmp_path))
    for n_samples in (1, 7, 100, 1_234):
        waveform = sound(2, n_samples)
        assert_close(embedded(tokenizer, waveform), reference.embed(waveform))


@pytest.mark.parametrize("activation", ["ELU", "Snake"])
def test_codes_differ_from_frame_to_frame(activation, pairs) -> None:
    """Otherwise the tests of equal codes would pass whatever happens."""
    (codes,) = pairs[activation].tokenizer.encode([sound(3, 2_000)])
    assert all(len(np.unique(layer)) > 8 for layer in codes)


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 40) | st.integers(1, 500), min_size=2, max_size=8),
    batch_clips=st.integers(1, 12),
    batch_frames=st.integers(1, 300),
    n_threads=st.integers(1, 3),
)
def test_codes_do_not_depend_on_the_other_clips(
    pairs, lengths, batch_clips, batch_frames, n_threads
) -> None:
    tokenizer = pairs["ELU"].tokenizer
    clips = [sound(seed, length) for seed, length in enumerate(lengths)]
    torch.set_num_threads(1)
    alone = [tokenizer.encode([clip])[0] for clip in clips]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechtokenizer, "BATCH_CLIPS", batch_clips)
        patch.setattr(speechtokenizer, "BATCH_FRAMES", batch_frames)
        torch.set_num_threads(n_threads)
        together = tokenizer.encode(clips)
    for codes, own in zip(together, alone, strict=True):
        np.testing.assert_array_equal(codes, own)


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=10).map(
        lambda lengths: sorted(lengths, reverse=True)
    )
)
def test_embeddings_do_not_depend_on_the_other_clips_in_the_last_bit(pairs, lengths) -> None:
    """Near ties would otherwise fall one way or the other."""
    tokenizer = pairs["ELU"].tokenizer
    clips = [sound(seed, HOP * length) for seed, length in enumerate(lengths)]
    together = tokenizer.encoder([torch.tensor(clip) for clip in clips])
    for clip, embeddings in zip(clips, together, strict=True):
        np.testing.assert_array_equal(embeddings.numpy(), embedded(tokenizer, clip))


@settings(max_examples=20)
@given(
    n_samples=st.integers(1, 600),
    convolution_frames=st.integers(1, 60),
    lstm_rows=st.integers(1, 120),
    quantised_frames=st.integers(1, 100),
)
@pytest.mark.parametrize("activation", ["ELU", "Snake"])
def test_pieces_do_not_show(
    activation, pairs, n_samples, convolution_frames, lstm_rows, quantised_frames
) -> None:
    tokenizer = pairs[activation].tokenizer
    waveform = sound(4, n_samples)
    whole = embedded(tokenizer, waveform)
    (whole_codes,) = tokenizer.encode([waveform])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechtokenizer_encoder, "CONVOLUTION_FRAMES", convolution_frames)
        patch.setattr(speechtokenizer_lstm, "LSTM_ROWS", lstm_rows)
        patch.setattr(speechtokenizer, "QUANTISED_FRAMES", quantised_frames)
        assert_close(embedded(tokenizer, waveform), whole)
        (codes,) = tokenizer.encode([waveform])
    assert codes.shape == whole_codes.shape
    assert (codes == whole_codes).mean() > 0.99  # but for near ties


def test_pieces_that_see_too_little_show(pairs, monkeypatch) -> None:
    tokenizer = pairs["ELU"].tokenizer
    waveform = sound(5, 3_000)
    whole = embedded(tokenizer, waveform)
    monkeypatch.setattr(speechtokenizer_encoder, "CONVOLUTION_FRAMES", 50)
    monkeypatch.setattr(tokenizer.encoder, "context", 0)
    assert np.abs(embedded(tokenizer, waveform) - whole).max() > 1e-2


def test_batches_hold_clips_of_similar_length_and_no_more_than_they_may(monkeypatch) -> None:
    monkeypatch.setattr(speechtokenizer, "BATCH_CLIPS", 3)
    monkeypatch.setattr(speechtokenizer, "BATCH_FRAMES", 10)
    frames = [4, 1, 20, 1, 2, 3, 1, 1, 3]
    batches = list(speechtokenizer.batches_of_like_length(frames))
    assert [[frames[clip] for clip in batch] for batch in batches] == [
        [20],
        [4, 3, 3],
        [2, 1, 1],
        [1, 1],
    ]
    assert sorted(clip for batch in batches for clip in batch) == list(range(9))


def test_first_of_equally_near_entries() -> None:
    codebook = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    doubled = torch.cat([codebook, codebook])[None]
    codes = speechtokenizer.residual_codes(codebook, doubled)
    assert codes.tolist() == [list(range(8))]


def test_no_clips(pairs) -> None:
    assert pairs["ELU"].tokenizer.encode([]) == []


@pytest.mark.parametrize(
    "waveform", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_unusable_waveforms(pairs, waveform) -> None:
    with pytest.raises(InputError, match=r"^A waveform "):
        pairs["ELU"].tokenizer.encode([sound(0, 10), waveform])
