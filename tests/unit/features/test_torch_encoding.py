"""Windows, batches and their order, on networks simple enough to be exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlasso.errors import InputError
from speechlasso.features import torch_encoding
from speechlasso.features.torch_encoding import FrameEncoder, batches, overlapping_windows

HOP, REACH = 10, 35


def sums(sounds: torch.Tensor) -> np.ndarray:
    """Frames of REACH samples, like the front of HuBERT; exact for whole numbers."""
    return sounds.unfold(1, REACH, HOP).sum(dim=2).numpy()


def padded_sums(sounds: torch.Tensor) -> np.ndarray:
    """A frame for every started hop, like the codecs; silence on both sides."""
    n_frames = -(-sounds.shape[1] // HOP)
    end = n_frames * HOP - sounds.shape[1] + REACH
    return sums(torch.nn.functional.pad(sounds, (15, end)))[:, :n_frames]


def encoder(network, **changes: object) -> FrameEncoder:
    plain = FrameEncoder(
        network=network,
        prepare=lambda waveform: waveform,
        sample_rate=100,
        hop=HOP,
        shortest=REACH,
        window=1_000_000,
        context=0,
        precision="fp32",
        device=torch.device("cpu"),
    )
    return replace(plain, **changes)


def whole_numbers(seed: int, n_samples: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-100, 100, n_samples).astype(np.float32)


@given(n_frames=st.integers(0, 300), context=st.integers(0, 20), own=st.integers(1, 40))
def test_windows_cover_every_frame_once_with_context(n_frames: int, context: int, own: int) -> None:
    window = own + 2 * context
    taken = []
    for first, kept in overlapping_windows(n_frames, window, context):
        last = min(first + window, n_frames)
        assert last - first == min(window, n_frames)
        frames = list(range(first, last))[kept]
        taken += frames
        for frame in frames:
            assert frame - first >= min(context, frame)
            assert last - 1 - frame >= min(context, n_frames - 1 - frame)
    assert taken == list(range(n_frames))


@given(lengths=st.lists(st.integers(1, 6), max_size=30), most_samples=st.integers(0, 20))
def test_batches_hold_equal_lengths_and_no_more_than_they_may(
    lengths: list[int], most_samples: int
) -> None:
    found = list(batches(lengths, most_samples))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len({lengths[index] for index in batch}) == 1
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= most_samples
    for length in set(lengths):
        of_length = [batch for batch in found if lengths[batch[0]] == length]
        fullest = max(1, most_samples // length)
        assert len(of_length) == -(-lengths.count(length) // fullest)


@pytest.mark.parametrize("network", [sums, padded_sums])
@settings(max_examples=60)
@given(
    n_samples=st.integers(1, 900),
    window=st.integers(150, 400),
    context=st.integers(40, 50),
    seed=st.integers(0, 9),
)
def test_windows_do_not_show_where_the_reach_is_short(
    network, n_samples: int, window: int, context: int, seed: int
) -> None:
    waveform = whole_numbers(seed, n_samples)
    (whole,) = encoder(network).encode([waveform])
    (cut,) = encoder(network, window=window, context=context).encode([waveform])
    np.testing.assert_array_equal(cut, whole)


def test_too_little_context_shows() -> None:
    waveform = whole_numbers(0, 900)
    (whole,) = encoder(padded_sums).encode([waveform])
    (cut,) = encoder(padded_sums, window=200).encode([waveform])
    assert cut.shape == whole.shape
    assert (cut != whole).any()


@settings(max_examples=25)
@given(lengths=st.lists(st.sampled_from([40, 41, 300, 700]), max_size=12), seed=st.integers(0, 9))
def test_clips_come_back_in_order_and_as_if_alone(lengths: list[int], seed: int) -> None:
    clips = [whole_numbers(seed + index, length) for index, length in enumerate(lengths)]
    running = encoder(sums, window=250, context=50)
    alone = [running.encode([clip])[0] for clip in clips]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(torch_encoding.BATCH_SECONDS, "cpu", 10.0)
        together = running.encode(clips)
    assert len(together) == len(clips)
    for frames, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(frames, expected)


def test_sounds_of_equal_length_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def recorded(sounds: torch.Tensor) -> np.ndarray:
        shapes.append(tuple(sounds.shape))
        return sums(sounds)

    clips = [whole_numbers(0, length) for length in (100, 60, 100, 100, 1_000)]
    running = encoder(recorded, window=400, context=50)
    running.encode(clips)
    assert sorted(shapes) == [(1, 60), (1, 100), (1, 100), (1, 100), (1, 400), (1, 400), (1, 400)]

    shapes.clear()
    monkeypatch.setitem(torch_encoding.BATCH_SECONDS, "cpu", 8.0)  # at 100 Hz
    running.encode(clips)
    assert sorted(shapes) == [(1, 60), (1, 400), (2, 400), (3, 100)]


def test_short_clips_are_followed_by_silence() -> None:
    (frames,) = encoder(sums).encode([np.array([7], dtype=np.float32)])
    np.testing.assert_array_equal(frames, [7])


def test_a_clip_is_prepared_as_a_whole() -> None:
    running = encoder(sums, window=200, context=50, prepare=lambda waveform: waveform * 2)
    waveform = whole_numbers(1, 500)
    np.testing.assert_array_equal(
        running.encode([waveform])[0], 2 * encoder(sums).encode([waveform])[0]
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_network_is_run_under(precision: str) -> None:
    found = {}

    def network(sounds: torch.Tensor) -> np.ndarray:
        found["inference"] = torch.is_inference_mode_enabled()
        found["tf32"] = torch.backends.cudnn.allow_tf32
        found["product"] = (sounds @ sounds.T).dtype
        return sums(sounds)

    before = torch.backends.cudnn.allow_tf32
    encoder(network, precision=precision).encode([whole_numbers(0, 50)])
    product = torch.bfloat16 if precision == "bf16" else torch.float32
    assert found == {"inference": True, "tf32": False, "product": product}
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    "waveform", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_unusable_waveforms(waveform: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^A waveform "):
        encoder(sums).encode([waveform])
