"""From clips on disk to codes, with whichever tokenizer the configuration names."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
from tqdm import tqdm

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.features.clip_batches import encoded, one_ahead, waveforms
from speechlasso.tokenizers import AudioTokenizer
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.settings import TokenizerMethod


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


def _implementation(settings: TokenizerMethod, n_threads: int) -> ModuleType:
    module = TOKENIZERS[settings.method].load()
    if torch := sys.modules.get("torch"):  # not imported for the sake of those that do without
        torch.set_num_threads(n_threads)
    return module
