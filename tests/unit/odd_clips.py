"""Odd clips: a row of a table, and what must come of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sound_bytes import RATE, chunk, encoded, integers, tone, w64_chunk, wav, wav_format, wave64

LOSSY = 0.08  # of a tone of amplitude 0.5


@dataclass
class Sound:
    """The clips of a table's row, and the samples that must be read."""

    clips: str
    samples: np.ndarray
    rate: int = RATE
    tolerance: float = 0.0
    start: str = ""
    end: str = ""


@dataclass
class Refusal:
    """The clips of a table's row, and words of the message that it must give."""

    clips: str
    words: str
    start: str = ""
    end: str = ""


READ: dict[str, Callable[[Path], Sound | list[Sound]]] = {}
REFUSED: dict[str, Callable[[Path], Refusal | list[Refusal]]] = {}


def reads(kind: str) -> Callable:
    return lambda build: READ.setdefault(kind, build)


def refuses(kind: str) -> Callable:
    return lambda build: REFUSED.setdefault(kind, build)


def saved(folder: Path, content: bytes, name: str = "clip") -> str:
    (folder / name).write_bytes(content)
    return name


PLAIN = wav(integers(16))
PLAIN_SAMPLES = integers(16) / 2**15


def plain(folder: Path, content: bytes = PLAIN, name: str = "clip") -> Sound:
    """A file that must give the samples of `PLAIN`."""
    return Sound(saved(folder, content, name), PLAIN_SAMPLES)


def rf64(n_bytes: int) -> bytes:
    data = integers(16).astype("<i2").tobytes()
    sizes = chunk(b"ds64", struct.pack("<QQQI", n_bytes + 80, n_bytes, n_bytes // 2, 0))
    content = b"WAVE" + sizes + wav_format(1, 16) + chunk(b"data", data, size=0xFFFFFFFF)
    return chunk(b"RF64", content, size=0xFFFFFFFF)


def w64() -> bytes:
    data = w64_chunk(b"data", integers(16).astype("<i2").tobytes())
    return wave64(w64_chunk(b"fmt ", wav_format(1, 16)[8:]), data)


def au(size: int = 8_000) -> bytes:
    header = b".snd" + struct.pack(">IIIII", 24, size, 3, RATE, 1)
    return header + integers(16).astype(">i2").tobytes()


def mp3(samples: np.ndarray, mode: str, rate: int = RATE) -> bytes:
    return encoded(samples, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.5)


def faded(rate: int) -> np.ndarray:
    """A second of a tone that begins and ends with silence, so that its borders do not ring."""
    return tone(1, rate) * np.sin(np.pi * np.arange(rate) / rate) ** 2


ID3 = b"ID3\x04\0\0" + bytes([0, 0, 8, 0]) + bytes(1_024)
