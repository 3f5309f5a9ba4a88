"""The default tokenizer: acoustic frames, quantised by codebooks learned on the training clips.

It needs no download and no accelerator, and it is an honest baseline for the neural codecs. Product
quantisation over the streams of `spectral_frames`, residual quantisation within each: layer 0
quantises the spectrum, layer 1 the pitch, layer 2 the energy, layer 3 the phrase, layer 4 what
layer 0 left over, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from speechlasso.errors import InputError
from speechlasso.features.spectral_frames import (
    FRAME_RATE,
    SAMPLE_RATE,
    STREAMS,
    frame_streams,
)
from speechlasso.features.waveforms import checked
from speechlasso.tokenizers import residual_kmeans
from speechlasso.tokenizers.frame_sampling import sample_frames
from speechlasso.tokenizers.learned_file import read_learned, write_learned
from speechlasso.tokenizers.settings import SpectralRVQMethod

FORMAT = "speechlasso spectral_rvq 1"  # raise the number when frames or files change their meaning
N_LAYERS = 4  # every stream once
CODEBOOK_SIZE = 64  # larger codebooks describe the training speakers, smaller ones describe speech
MAX_FRAMES = 30_000  # 10 minutes of speech: more hardly moves the centroids
LARGEST_CODEBOOK = 2**15  # codes are int16

# Threads divide a product of matrices in ways that depend on their number, which shows in the last
# bit with some processors.
one_thread = threadpool_limits.wrap(limits=1)


def fit(waveforms: Iterable[np.ndarray], settings: SpectralRVQMethod) -> SpectralRVQ:
    """Learn a tokenizer as configured; pass training clips only."""
    return SpectralRVQ.fit(waveforms, **settings.model_dump(exclude={"method"}))


def load(settings: SpectralRVQMethod, path: str | Path) -> SpectralRVQ:
    """Open a tokenizer that was saved; the file holds all settings."""
    return SpectralRVQ.load(path)


@dataclass(frozen=True)
class StreamQuantiser:
    """Standardisation and codebooks of one feature stream."""

    mean: np.ndarray  # float32 (n_features,)
    deviation: np.ndarray  # float32 (n_features,)
    codebooks: np.ndarray  # float32 (n_layers, codebook_size, n_features)

    def encode(self, features: np.ndarray) -> np.ndarray:
        """int16 (n_layers, n_frames)."""
        return residual_kmeans.encode((features - self.mean) / self.deviation, self.codebooks)


class SpectralRVQ:
    """Tokenizer of acoustic frames; made by `fit` or `load`.

    Attributes
    ----------
    n_layers, codebook_size
        Shape of the code space: codes of a layer lie in [0, codebook_size).
    sample_rate
        Of the waveforms that `encode` takes, in Hz.
    frame_rate
        Frames per second.
    """

    sample_rate = SAMPLE_RATE
    frame_rate = FRAME_RATE

    def __init__(self, quantisers: Sequence[StreamQuantiser]):
        self._quantisers = tuple(quantisers)
        self.n_layers = sum(len(quantiser.codebooks) for quantiser in self._quantisers)
        self.codebook_size = self._quantisers[0].codebooks.shape[1]

    @property
    def centroids(self) -> np.ndarray:
        """Of all streams side by side, zero in those that a layer does not quantise."""
        sizes = [quantiser.codebooks.shape[2] for quantiser in self._quantisers]
        apart = np.zeros((self.n_layers, self.codebook_size, sum(sizes)), dtype=np.float32)
        for stream, quantiser in enumerate(self._quantisers):
            columns = slice(sum(sizes[:stream]), sum(sizes[: stream + 1]))
            apart[stream :: len(STREAMS), :, columns] = quantiser.codebooks
        return apart

    @classmethod
    @one_thread
    def fit(
        cls,
        waveforms: Iterable[np.ndarray],
        *,
        n_layers: int = N_LAYERS,
        codebook_size: int = CODEBOOK_SIZE,
        seed: int = 0,
        max_frames: int = MAX_FRAMES,
    ) -> SpectralRVQ:
        """Learn the codebooks, on training clips only.

        Parameters
        ----------
        waveforms
            float32 (n_samples,) each, at `sample_rate`; read once, one at a time.
        n_layers, codebook_size
            Shape of the code space.
        seed
            Same waveforms and same seed give the same bytes.
        max_frames
            Size of the uniform sample of frames to learn from; it bounds time and memory.

        Raises
        ------
        InputError
            If a setting is out of range, a waveform is unusable, or there are too few frames.
        """
        _check_settings(n_layers, codebook_size, max_frames)
        rng = np.random.default_rng(seed)
        sample = sample_frames(
            (frame_streams(checked(waveform)) for waveform in waveforms),
            max_frames=max_frames,
            codebook_size=codebook_size,
            rng=rng,
        )
        quantisers = []
        for stream, features in enumerate(sample[:n_layers]):
            mean, deviation = features.mean(axis=0), features.std(axis=0)
            deviation = np.where(deviation > 0, deviation, np.float32(1))
            codebooks = residual_kmeans.fit_codebooks(
                (features - mean) / deviation,
                n_layers=len(range(stream, n_layers, len(STREAMS))),
                codebook_size=codebook_size,
                seed=int(rng.integers(2**31)),
            )
            quantisers.append(StreamQuantiser(mean, deviation, codebooks))
        return cls(quantisers)

    @one_thread
    def encode(self, waveforms: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Codes, int16, of one waveform at a time; see `AudioTokenizer.encode`."""
        return [self._encode_one(waveform) for waveform in waveforms]

    def _encode_one(self, waveform: np.ndarray) -> np.ndarray:
        streams = frame_streams(checked(waveform))
        codes = np.empty((self.n_layers, len(streams[0])), dtype=np.int16)
        for stream, quantiser in enumerate(self._quantisers):
            codes[stream :: len(STREAMS)] = quantiser.encode(streams[stream])
        return codes

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as one safetensors file."""
        tensors = {
            f"{stream}.{name}": np.ascontiguousarray(array)
            for stream, quantiser in zip(STREAMS, self._quantisers, strict=False)
            for name, array in vars(quantiser).items()
        }
        settings = {
            "format": FORMAT,
            "n_layers": self.n_layers,
            "codebook_size": self.codebook_size,
            "sample_rate": self.sample_rate,
            "frame_rate": self.frame_rate,
        }
        write_learned(path, tensors, settings)

    @classmethod
    def load(cls, path: str | Path) -> SpectralRVQ:
        """Read a tokenizer that `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, or is not such a tokenizer, or one of another format version.
        """
        tensors, _ = read_learned(path, FORMAT)
        return cls(
            StreamQuantiser(
                *(tensors[f"{stream}.{name}"] for name in StreamQuantiser.__match_args__)
            )
            for stream in STREAMS
            if f"{stream}.mean" in tensors
        )


def _check_settings(n_layers: int, codebook_size: int, max_frames: int) -> None:
    problems = []
    if n_layers < 1:
        problems.append(f"n_layers = {n_layers}: expected at least 1")
    if not 2 <= codebook_size <= LARGEST_CODEBOOK:
        problems.append(f"codebook_size = {codebook_size}: expected 2 to {LARGEST_CODEBOOK}")
    if max_frames < codebook_size:
        problems.append(f"max_frames = {max_frames}: expected at least codebook_size")
    if problems:
        raise InputError.listing("The tokenizer cannot be fitted with these settings:", problems)
