"""From clips on disk to codes, with whichever tokenizer the configuration names."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from speechlasso.audio.reading import read_utterance
from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.tokenizers import AudioTokenizer
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.settings import TokenizerMethod

# Sound decoded and encoded at a time: enough for batches of similar length, little to hold.
BATCH_SECONDS = 300

Item = TypeVar("Item")


def fit_tokenizer(
    settings: TokenizerMethod,
    utterances: pd.DataFrame,
    n_threads: int = 1,
    clips: RecordedClips | None = None,
) -> AudioTokenizer:
    """Learn a tokenizer on utterances; pass training rows only.

    Parameters
    ----------
    utterances
        Column audio (list of clips), and start and end where utterances are segments.
    n_threads
        For tokenizers that compute with torch; it holds for the whole process.
    clips
        What the clips must be, if that is known.
    """
    module = _implementation(settings, n_threads)
    waveforms = one_ahead(_waveforms(utterances, module.SAMPLE_RATE, clips))
    progress = tqdm(waveforms, "reading training clips", len(utterances), unit="utterance")
    return module.fit(progress, settings)


def load_tokenizer(
    settings: TokenizerMethod, path: str | Path | None, n_threads: int = 1
) -> AudioTokenizer:
    """Open a tokenizer.

    Parameters
    ----------
    path
        What a tokenizer that learns was saved as; None for pretrained ones.
    n_threads
        For tokenizers that compute with torch; it holds for the whole process.
    """
    return _implementation(settings, n_threads).load(settings, path)


def encode_utterances(
    tokenizer: AudioTokenizer, manifest: pd.DataFrame, clips: RecordedClips | None = None
) -> CodeTable:
    """Encode the clips of each utterance, joined in order; decode the next ones meanwhile.

    Parameters
    ----------
    manifest
        Columns id and audio (list of clips), and start and end where utterances are segments.
    clips
        What the clips must be, if that is known.
    """
    codebooks = Codebooks(tokenizer.n_layers, tokenizer.codebook_size, tokenizer.frame_rate)
    waveforms = _waveforms(manifest, tokenizer.sample_rate, clips)
    most_samples = BATCH_SECONDS * tokenizer.sample_rate
    codes: list[np.ndarray] = []
    with tqdm(desc="tokenising", total=len(manifest), unit="utterance", delay=1) as progress:
        for batch in one_ahead(_batches(waveforms, most_samples)):
            codes += tokenizer.encode(batch)
            progress.update(len(batch))
    return CodeTable(codebooks, dict(zip(manifest["id"], codes, strict=True)))


def _implementation(settings: TokenizerMethod, n_threads: int) -> ModuleType:
    module = TOKENIZERS[settings.method].load()
    if torch := sys.modules.get("torch"):  # not imported for the sake of those that do without
        torch.set_num_threads(n_threads)
    return module


def _waveforms(
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
        clips.require_unchanged(audio)  # nor has one been replaced meanwhile
        yield waveform


def _batches(waveforms: Iterable[np.ndarray], most_samples: int) -> Iterator[list[np.ndarray]]:
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
