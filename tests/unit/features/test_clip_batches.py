"""Clips decoded one batch ahead of what encodes them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.errors import InputError
from speechlasso.features.clip_batches import batched, one_ahead


@given(
    lengths=st.lists(st.integers(1, 30), max_size=20),
    most=st.integers(1, 60),
)
def test_batches_keep_order_and_bound(lengths, most):
    waveforms = [np.full(length, number) for number, length in enumerate(lengths)]
    batches = list(batched(waveforms, most))
    flat = [waveform for batch in batches for waveform in batch]
    assert [waveform[0] for waveform in flat] == list(range(len(lengths)))
    sizes = [sum(map(len, batch)) for batch in batches]
    assert all(size <= most or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))
    # Nothing is split without need.
    following = [len(batch[0]) for batch in batches[1:]]
    assert all(size + more > most for size, more in zip(sizes, following, strict=False))


def test_one_ahead_is_one_ahead_and_no_more():
    made = []
    second_made = threading.Event()

    def items():
        for number in range(4):
            made.append(number)
            if number == 1:
                second_made.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert second_made.wait(10)  # made while this thread has not asked for it
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3]


def test_one_ahead_passes_errors_on_in_their_place():
    def items():
        yield 1
        raise InputError("broken clip")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(InputError, match="broken clip"):
        next(ahead)
