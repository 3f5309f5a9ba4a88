"""Sound files made byte by byte, and decoders written from the formats' descriptions."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile

RATE = 16_000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 220.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def integers(bits: int, n_samples: int = 4_000) -> np.ndarray:
    """Samples over the whole range, both ends included."""
    top = 1 << (bits - 1)
    drawn = np.random.default_rng(bits).integers(-top, top, n_samples)
    drawn[:2] = -top, top - 1
    return drawn


def encoded(
    samples: np.ndarray, container: str, subtype: str | None = None, rate: int = RATE, **how
) -> bytes:
    """What libsndfile writes; in small blocks, since its Vorbis encoder fails at large ones."""
    file = io.BytesIO()
    n_channels = samples.shape[1] if samples.ndim == 2 else 1
    with soundfile.SoundFile(
        file, "w", rate, n_channels, format=container, subtype=subtype, **how
    ) as clip:
        for first in range(0, len(samples), 4_096):
            clip.write(samples[first : first + 4_096])
    return file.getvalue()


def chunk(name: bytes, content: bytes, size: int | None = None, order: str = "<") -> bytes:
    """A RIFF chunk; `size` is what it says of its size, right or wrong."""
    size = len(content) if size is None else size
    return name + struct.pack(f"{order}I", size) + content + b"\0" * (len(content) % 2)


def wav_format(
    tag: int, bits: int, channels: int = 1, rate: int = RATE, block: int = 0, more: bytes = b""
) -> bytes:
    block = block or channels * bits // 8
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + more
    )


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


def wav(samples: np.ndarray, rate: int = RATE, before: bytes = b"", **data) -> bytes:
    """A WAV file of 16-bit integers, (n_frames,) or (n_frames, n_channels).

    Parameters
    ----------
    before
        Chunks before the samples.
    data
        As `chunk` takes it: the size that the chunk of the samples tells.
    """
    channels = samples.shape[1] if samples.ndim == 2 else 1
    header = wav_format(1, 16, channels, rate)
    return riff(header, before, chunk(b"data", samples.astype("<i2").tobytes(), **data))


def float_wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    channels = samples.shape[1] if samples.ndim == 2 else 1
    header = wav_format(3, 32, channels, rate)
    return riff(header, chunk(b"data", samples.astype("<f4").tobytes()))


def decode_mu_law(codes: np.ndarray) -> np.ndarray:
    """G.711, to 16-bit integers."""
    inverted = ~codes.astype(np.int64) & 0xFF
    exponent, mantissa = inverted >> 4 & 7, inverted & 15
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(inverted & 128, -magnitude, magnitude)


def decode_a_law(codes: np.ndarray) -> np.ndarray:
    """G.711, to 16-bit integers."""
    toggled = codes.astype(np.int64) ^ 0x55
    exponent, mantissa = toggled >> 4 & 7, toggled & 15
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent > 0, (linear + 256) << np.maximum(exponent - 1, 0), linear)
    return np.where(toggled & 128, magnitude, -magnitude)


# The table of the IMA's recommended practices.
IMA_STEPS = [
    *(7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66),
    *(73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408),
    *(449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066),
    *(2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630),
    *(9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794),
    32767,
]
IMA_INDEX_CHANGES = [-1, -1, -1, -1, 2, 4, 6, 8]


def decode_ima_adpcm(block: bytes) -> Iterator[int]:
    """One block of one channel."""
    value, index, _ = struct.unpack_from("<hBB", block)
    yield value
    for byte in block[4:]:
        for code in (byte & 15, byte >> 4):
            step = IMA_STEPS[index]
            change = step >> 3
            for bit in range(3):
                change += (step >> (2 - bit)) * (code >> bit & 1)
            value = min(max(value + (-change if code & 8 else change), -(1 << 15)), (1 << 15) - 1)
            index = min(max(index + IMA_INDEX_CHANGES[code & 7], 0), 88)
            yield value


MS_COEFFICIENTS = [(256, 0), (512, -256), (0, 0), (192, 64), (240, 0), (460, -208), (392, -232)]
MS_ADAPTATION = [230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230]


def decode_ms_adpcm(block: bytes) -> Iterator[int]:
    """One block of one channel."""
    predictor, delta, last, before = struct.unpack_from("<Bhhh", block)
    yield from (before, last)
    for byte in block[7:]:
        for code in (byte >> 4, byte & 15):
            predicted = (
                last * MS_COEFFICIENTS[predictor][0] + before * MS_COEFFICIENTS[predictor][1]
            ) >> 8
            value = predicted + delta * (code - 16 if code & 8 else code)
            before, last = last, min(max(value, -(1 << 15)), (1 << 15) - 1)
            delta = max(MS_ADAPTATION[code] * delta >> 8, 16)
            yield last


W64_NAME_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def w64_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of Sony Wave64: long names, sizes that count the header, padded to 8 bytes."""
    content_size = len(content) + 24
    return (
        name + W64_NAME_END + struct.pack("<Q", content_size) + content + bytes(-content_size % 8)
    )


def wave64(*chunks: bytes) -> bytes:
    content = b"wave" + W64_NAME_END + b"".join(chunks)
    size = struct.pack("<Q", len(content) + 24)
    return b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + size + content


def without_mp3_table(content: bytes) -> bytes:
    """An MP3 as libsndfile writes it without its first frame, which holds no sound but a table of
    the file's length (Xing or Info)."""
    table = max(content.find(b"Xing"), content.find(b"Info"))
    return content[content.index(content[:2], table) :]
