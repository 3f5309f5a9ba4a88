"""From clips on disk to codes, with whichever tokenizer the configuration names."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd
from tqdm import tqdm

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.features.clip_batches import encoded, one_ahead, waveforms
from speechlasso.features.frame_files import FrameFiles
from speechlasso.tokenizers import AudioTokenizer
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.settings import TokenizerMethod


def rows_to_learn_from(training: pd.DataFrame, settings: TokenizerMethod) -> pd.DataFrame:
    """The training rows that a tokenizer looks at: no more than the frames that it draws of them,
    since each has one at least. So learning takes no longer on a larger corpus."""
    most = getattr(settings, "max_frames", None)  # a tokenizer of the user's may draw none
    if most is None or len(training) <= most:
        return training
    return training.sample(most, random_state=settings.seed).sort_index()


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
    decoded = one_ahead(waveforms(utterances, module.SAMPLE_RATE, clips))
    progress = tqdm(decoded, "reading training clips", len(utterances), unit="utterance")
    return module.fit(progress, settings)


def fit_tokenizer_to_frames(
    settings: TokenizerMethod, frames: FrameFiles, ids: Collection[str]
) -> AudioTokenizer:
    """Learn a tokenizer that reads the encoder's frames; pass ids of training rows only."""
    read = frames.read(settings.layers, ids)
    progress = tqdm((of_clip for _, of_clip in read), "reading frames", len(ids), unit="utterance")
    return TOKENIZERS[settings.method].load().fit_frames(progress, frames.kind, settings)


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
    """Encode the clips of each utterance (`clip_batches.encoded`, which says what is what)."""
    codebooks = Codebooks(tokenizer.n_layers, tokenizer.codebook_size, tokenizer.frame_rate)
    codes = encoded(tokenizer.encode, manifest, tokenizer.sample_rate, clips)
    return CodeTable(codebooks, dict(zip(manifest["id"], codes, strict=True)))


def encode_frames(
    tokenizer: AudioTokenizer, frames: FrameFiles, layers: list[int], ids: Sequence[str]
) -> CodeTable:
    """Codes of utterances whose frames are there already, in the order of the ids."""
    codebooks = Codebooks(tokenizer.n_layers, tokenizer.codebook_size, tokenizer.frame_rate)
    read = tqdm(frames.read(layers, set(ids)), "encoding", len(ids), unit="utterance", delay=1)
    codes = {name: tokenizer.encode_frames(of_clip) for name, of_clip in read}
    return CodeTable(codebooks, {name: codes[name] for name in ids})


def _implementation(settings: TokenizerMethod, n_threads: int) -> ModuleType:
    module = TOKENIZERS[settings.method].load()
    if torch := sys.modules.get("torch"):  # not imported for the sake of those that do without
        torch.set_num_threads(n_threads)
    return module
