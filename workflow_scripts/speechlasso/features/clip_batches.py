"""Clips decoded one batch ahead of what encodes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from speechlasso.audio.reading import read_utterance
from speechlasso.data.recorded_clips import RecordedClips

# Sound decoded and encoded at a time: enough for batches of similar length, little to hold.
BATCH_SECONDS = 300

Item = TypeVar("Item")


def encoded(
    encode: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    utterances: pd.DataFrame,
    sample_rate: int,
    clips: RecordedClips | None = None,
) -> Iterator[np.ndarray]:
    """What `encode` makes of each utterance's clips, joined in order; the next ones are decoded
    meanwhile.

    Parameters
    ----------
    encode
        Takes waveforms, float32 (n_samples,) each, and returns an array for each.
    utterances
        Columns id and audio (list of clips), and start and end where utterances are segments.
    sample_rate
        What `encode` takes, in Hz.
    clips
        What the clips must be, if that is known.
    """
    decoded = waveforms(utterances, sample_rate, clips)
    with tqdm(desc="encoding", total=len(utterances), unit="utterance", delay=1) as progress:
        for batch in one_ahead(batched(decoded, BATCH_SECONDS * sample_rate)):
            yield from encode(batch)
            progress.update(len(batch))


def waveforms(
    utterances: pd.DataFrame, sample_rate: int, clips: RecordedClips | None
) -> Iterator[np.ndarray]:
    """Decode one utterance after the other."""
    columns = [utterances[name] for name in ("audio", "start", "end") if name in utterances]
    for audio, *segment in zip(*columns, strict=True):
        if clips is None:
            yield read_utterance(audio, sample_rate, *segment)
            continue
        clips.require_unchanged(audio)
        waveform = read_utterance(audio, sample_rate, *segment)
        clips.require_unchanged(audio)  # nor was one replaced while it was read
        yield waveform


def batched(waveforms: Iterable[np.ndarray], most_samples: int) -> Iterator[list[np.ndarray]]:
    """Put waveforms together until they hold most_samples, or one holds more by itself."""
    batch: list[np.ndarray] = []
    n_samples = 0
    for waveform in waveforms:
        if batch and n_samples + len(waveform) > most_samples:
            yield batch
            batch, n_samples = [], 0
        batch.append(waveform)
        n_samples += len(waveform)
    if batch:
        yield batch


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, the next one made in a thread while the caller works on this one."""
    iterator = iter(items)
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield item
