"""From clips on disk to codes, with whichever tokenizer the configuration names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from speechlasso.audio import read_utterance
from speechlasso.codes import Codebooks, CodeTable
from speechlasso.config import Tokenizer
from speechlasso.tokenizers.spectral_rvq import SpectralRVQ

_TOKENIZERS = {"spectral_rvq": SpectralRVQ}
# Utterances decoded and encoded at a time: bounds the memory.
_BATCH = 32


def fit_tokenizer(settings: Tokenizer, utterances: Iterable[list[str]]) -> SpectralRVQ:
    """Learn a tokenizer on utterances, each a list of clips; pass training clips only."""
    kind = _TOKENIZERS[settings.method]
    options = getattr(settings, settings.method).model_dump()
    clips = tqdm(list(utterances), desc="reading training clips", unit="utterance")
    return kind.fit((read_utterance(paths, kind.sample_rate) for paths in clips), **options)


def load_tokenizer(method: str, path: str | Path) -> SpectralRVQ:
    return _TOKENIZERS[method].load(path)


def encode_utterances(tokenizer: SpectralRVQ, manifest: pd.DataFrame) -> CodeTable:
    """Encode the clips of each utterance, joined in order.

    Parameters
    ----------
    manifest
        Columns id and audio (list of clips).
    """
    codebooks = Codebooks(tokenizer.n_layers, tokenizer.codebook_size, tokenizer.frame_rate)
    codes = {}
    with tqdm(total=len(manifest), desc="tokenising", unit="utterance") as progress:
        for start in range(0, len(manifest), _BATCH):
            rows = manifest.iloc[start : start + _BATCH]
            waveforms = [read_utterance(paths, tokenizer.sample_rate) for paths in rows["audio"]]
            codes.update(zip(rows["id"], tokenizer.encode(waveforms), strict=True))
            progress.update(len(rows))
    return CodeTable(codebooks, codes)
