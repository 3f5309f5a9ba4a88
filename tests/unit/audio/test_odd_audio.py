"""Audio as it comes in the wild: every kind is read right, or refused with a clear message.

A kind is a row of a table, which goes through the manifest, the check and the reading as in the
workflow. docs/audio.md lists the same kinds.
"""

from __future__ import annotations

import os
import re
import struct
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sound_bytes import (
    RATE,
    chunk,
    decode_a_law,
    decode_ima_adpcm,
    decode_ms_adpcm,
    decode_mu_law,
    encoded,
    float_wav,
    integers,
    riff,
    tone,
    w64_chunk,
    wav,
    wav_format,
    wave64,
    without_mp3_table,
)

from speechlasso.audio.clip_check import check_clip
from speechlasso.audio.clip_files import ClipError
from speechlasso.audio.reading import read_clip, read_utterance
from speechlasso.data.manifest import find_clip_problems, read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.errors import InputError

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "audio.md"
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


# What the samples are written in


@reads("WAV, 8 bit")
def _(folder):
    data = chunk(b"data", (integers(8) + 128).astype("u1").tobytes())
    return Sound(saved(folder, riff(wav_format(1, 8), data)), integers(8) / 2**7)


@reads("WAV, 16 bit")
def _(folder):
    return plain(folder)


@reads("WAV, 24 bit")
def _(folder):
    low_bytes = integers(24).astype("<i4").view("u1").reshape(-1, 4)[:, :3]
    content = riff(wav_format(1, 24), chunk(b"data", low_bytes.tobytes()))
    return Sound(saved(folder, content), integers(24) / 2**23)


@reads("WAV, 32 bit")
def _(folder):
    content = riff(wav_format(1, 32), chunk(b"data", integers(32).astype("<i4").tobytes()))
    return Sound(saved(folder, content), integers(32) / 2**31, tolerance=1e-7)


@reads("WAV, floating point, 32 and 64 bit")
def _(folder):
    double = chunk(b"data", tone().astype("<f8").tobytes())
    return [
        Sound(saved(folder, float_wav(tone()), "32"), tone().astype(np.float32)),
        Sound(saved(folder, riff(wav_format(3, 64), double), "64"), tone().astype(np.float32)),
    ]


@reads("WAV, mu-law and A-law")
def _(folder):
    codes = np.arange(256, dtype=np.uint8)
    mu_law, a_law = (riff(wav_format(tag, 8), chunk(b"data", codes.tobytes())) for tag in (7, 6))
    return [
        Sound(saved(folder, mu_law, "mu-law"), decode_mu_law(codes) / 2**15),
        Sound(saved(folder, a_law, "A-law"), decode_a_law(codes) / 2**15),
    ]


@reads("WAV, IMA ADPCM")
def _(folder):
    codes = np.random.default_rng(1).integers(0, 256, (2, 252), dtype=np.uint8)
    blocks = [struct.pack("<hBB", -1234, 20, 0) + of_block.tobytes() for of_block in codes]
    header = wav_format(0x11, 4, block=256, more=struct.pack("<HH", 2, 505))
    content = riff(header, chunk(b"data", b"".join(blocks)))
    samples = [sample for block in blocks for sample in decode_ima_adpcm(block)]
    return Sound(saved(folder, content), np.array(samples) / 2**15)


@reads("WAV, MS ADPCM")
def _(folder):
    # Nibbles 0, 1 and -1, -2: large ones in a row leave the range that the format provides for.
    nibbles = np.random.default_rng(1).choice([0, 1, 14, 15], (2, 249, 2)).astype(np.uint8)
    codes = nibbles[:, :, 0] << 4 | nibbles[:, :, 1]
    blocks = [struct.pack("<Bhhh", 1, 40, -300, 250) + of_block.tobytes() for of_block in codes]
    coefficients = struct.pack(
        "<14h", 256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232
    )
    more = struct.pack("<HHH", 32, 500, 7) + coefficients
    header = wav_format(2, 4, block=256, more=more)
    content = riff(header, chunk(b"data", b"".join(blocks)))
    samples = [sample for block in blocks for sample in decode_ms_adpcm(block)]
    return Sound(saved(folder, content), np.array(samples) / 2**15)


@reads("WAV, GSM 6.10")
def _(folder):
    content = encoded(tone(0.48), "WAV", "GSM610")
    return Sound(saved(folder, content), tone(0.48), tolerance=0.15)


@reads("WAV, MP3 inside")
def _(folder):
    sound = encoded(tone(), "MP3")
    more = struct.pack("<HHIHHH", 12, 1, 2, 144, 1, 1393)
    header = wav_format(0x55, 0, block=1, more=more)
    content = riff(header, chunk(b"data", sound))
    return Sound(saved(folder, content), tone(), tolerance=LOSSY)


@reads("WAVEX")
def _(folder):
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    header = wav_format(0xFFFE, 16, more=struct.pack("<HHI", 22, 16, 4) + guid)
    return plain(folder, riff(header, chunk(b"data", integers(16).astype("<i2").tobytes())))


@reads("RIFX (big-endian WAV)")
def _(folder):
    header = struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    data = integers(16).astype(">i2").tobytes()
    content = b"WAVE" + chunk(b"fmt ", header, order=">") + chunk(b"data", data, order=">")
    return plain(folder, chunk(b"RIFX", content, order=">"))


def rf64(n_bytes: int) -> bytes:
    data = integers(16).astype("<i2").tobytes()
    sizes = chunk(b"ds64", struct.pack("<QQQI", n_bytes + 80, n_bytes, n_bytes // 2, 0))
    content = b"WAVE" + sizes + wav_format(1, 16) + chunk(b"data", data, size=0xFFFFFFFF)
    return chunk(b"RF64", content, size=0xFFFFFFFF)


@reads("RF64")
def _(folder):
    return plain(folder, rf64(8_000))


def w64() -> bytes:
    data = w64_chunk(b"data", integers(16).astype("<i2").tobytes())
    return wave64(w64_chunk(b"fmt ", wav_format(1, 16)[8:]), data)


@reads("W64")
def _(folder):
    return plain(folder, w64())


@reads("AIFF")
def _(folder):
    return plain(folder, encoded(PLAIN_SAMPLES, "AIFF", "PCM_16"))


def au(size: int = 8_000) -> bytes:
    header = b".snd" + struct.pack(">IIIII", 24, size, 3, RATE, 1)
    return header + integers(16).astype(">i2").tobytes()


@reads("AU, with its size and without")
def _(folder):
    return [plain(folder, au(), "sized"), plain(folder, au(0xFFFFFFFF), "streamed")]


@reads("CAF, samples and ALAC")
def _(folder):
    return [
        plain(folder, encoded(PLAIN_SAMPLES, "CAF", "PCM_16"), "samples"),
        plain(folder, encoded(PLAIN_SAMPLES, "CAF", "ALAC_16"), "ALAC"),
    ]


@reads("NIST SPHERE")
def _(folder):
    return plain(folder, encoded(PLAIN_SAMPLES, "NIST", "PCM_16"))


@reads("FLAC, 16 and 24 bit")
def _(folder):
    return [
        plain(folder, encoded(PLAIN_SAMPLES, "FLAC", "PCM_16"), "16"),
        Sound(
            saved(folder, encoded(integers(24) / 2**23, "FLAC", "PCM_24"), "24"),
            integers(24) / 2**23,
        ),
    ]


@reads("OGG Vorbis")
def _(folder):
    return Sound(saved(folder, encoded(tone(), "OGG", "VORBIS")), tone(), tolerance=LOSSY)


@reads("OGG Opus")
def _(folder):
    return Sound(saved(folder, encoded(tone(), "OGG", "OPUS")), tone(), tolerance=LOSSY)


def mp3(samples: np.ndarray, mode: str, rate: int = RATE) -> bytes:
    return encoded(samples, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.5)


@reads("MP3, constant and variable bit rate")
def _(folder):
    files = [saved(folder, mp3(tone(), mode), mode) for mode in ("CONSTANT", "VARIABLE")]
    return [Sound(name, tone(), tolerance=LOSSY) for name in files]


@reads("MP3 after zero bytes, with a tag or without")
def _(folder):
    sound = encoded(tone(), "MP3")
    files = [bytes(1) + sound, bytes(10_000) + sound, bytes(100) + ID3 + sound]
    files = [saved(folder, content, f"{i}.wav") for i, content in enumerate(files)]
    return [Sound(name, tone(), tolerance=LOSSY) for name in files]


@refuses("MP3 after zero bytes, cut off")
def _(folder):
    content = bytes(100) + encoded(tone(5), "MP3")
    return Refusal(saved(folder, content[: len(content) // 2]), "is truncated")


@reads("MP3 of constant bit rate without a table of its length")
def _(folder):
    content = without_mp3_table(mp3(tone(2), "CONSTANT"))
    # Without the table nothing tells the decoder how much the encoder put before and after.
    samples = np.zeros(576 * len(range(0, len(tone(2)) + 1105, 576)))
    samples[1105 : 1105 + len(tone(2))] = tone(2)
    return Sound(saved(folder, content), samples, tolerance=LOSSY)


@refuses("MP3 of variable bit rate without a table of its length")
def _(folder):
    noise_then_silence = np.append(0.5 * integers(16, 44_100) / 2**15, np.zeros(88_200))
    content = without_mp3_table(mp3(noise_then_silence, "VARIABLE", 44_100))
    return Refusal(saved(folder, content), "would be decoded")


# What was recorded


@reads("Any sample rate from 8 to 192 kHz, odd ones included")
def _(folder):
    rates = (8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 44_100, 48_000, 96_000, 192_000)
    return [
        Sound(saved(folder, float_wav(faded(rate), rate), f"{rate}"), faded(RATE), tolerance=1e-3)
        for rate in rates
    ]


def faded(rate: int) -> np.ndarray:
    """A second of a tone that begins and ends with silence, so that its borders do not ring."""
    return tone(1, rate) * np.sin(np.pi * np.arange(rate) / rate) ** 2


@refuses("A sample rate that cannot be")
def _(folder):
    return [
        Refusal(saved(folder, wav(integers(16), 1), "1"), "impossible sample rate (1 Hz)"),
        Refusal(saved(folder, wav(integers(16), 0), "0"), "cannot be decoded"),
    ]


@reads("Stereo")
def _(folder):
    channels = integers(16).reshape(-1, 2)
    mono = (channels[:, 0] / 2**15 + channels[:, 1] / 2**15) / 2
    return Sound(saved(folder, wav(channels)), mono, tolerance=1e-7)


@reads("Six channels")
def _(folder):
    channels = integers(16, 6_000).reshape(-1, 6)
    mono = sum(channels[:, channel] for channel in range(6)) / 6 / 2**15
    return Sound(saved(folder, wav(channels)), mono, tolerance=1e-7)


@reads("Stereo with one silent channel")
def _(folder):
    channels = np.stack([integers(16), np.zeros(4_000, dtype=int)], axis=1)
    return Sound(saved(folder, wav(channels)), PLAIN_SAMPLES / 2, tolerance=1e-7)


@refuses("Stereo in opposite phase")
def _(folder):
    one = integers(16) // 2
    lossy = np.stack([tone(), -tone()], axis=1)
    return [
        Refusal(saved(folder, wav(np.stack([one, -one], axis=1)), "exact"), "opposite phase"),
        Refusal(saved(folder, encoded(lossy, "OGG", "VORBIS"), "lossy"), "opposite phase"),
    ]


@reads("20 milliseconds")
def _(folder):
    return Sound(saved(folder, wav(integers(16, 320))), integers(16, 320) / 2**15)


@reads("One sample")
def _(folder):
    same_rate = Sound(saved(folder, wav(np.array([1 << 14])), "16000"), np.array([0.5]))
    # A third of a sample at 16 kHz, rounded up to one.
    return [same_rate, Sound(saved(folder, wav(np.array([1 << 14]), 48_000), "48000"), [0.5])]


@reads("Silence")
def _(folder):
    return Sound(saved(folder, wav(np.zeros(4_000))), np.zeros(4_000))


@reads("Clipping")
def _(folder):
    clipped = np.clip(8 * tone(), -1, 1)
    return Sound(saved(folder, float_wav(clipped)), clipped, tolerance=1e-7)


@reads("DC offset")
def _(folder):
    return Sound(saved(folder, float_wav(tone() + 0.3)), tone() + 0.3, tolerance=1e-7)


@reads("Floating point above full scale")
def _(folder):
    return Sound(saved(folder, float_wav(20 * tone())), 20 * tone(), tolerance=1e-6)


@refuses("Integers stored as floating point")
def _(folder):
    words = "times full scale (integers stored as floats?)"
    return Refusal(saved(folder, float_wav(integers(16))), words)


@reads("Denormal numbers")
def _(folder):
    tiny = tone().astype(np.float32) * np.float32(1e-40)
    return Sound(saved(folder, float_wav(tiny)), tiny)


@refuses("NaN and infinity")
def _(folder):
    names = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
    files = [saved(folder, float_wav(np.append(tone(), value)), n) for n, value in names.items()]
    return [Refusal(name, "contains samples that are not finite numbers") for name in files]


@refuses("No sound in a whole file")
def _(folder):
    return Refusal(saved(folder, wav(np.zeros(0))), "contains no samples")


# Names and places


@reads("WAV called .mp3, .raw or .gsm, or without an extension")
def _(folder):
    return [plain(folder, PLAIN, name) for name in ("a.mp3", "a.raw", "a.gsm", "a")]


@reads("MP3 called .wav")
def _(folder):
    return Sound(saved(folder, encoded(tone(), "MP3"), "a.wav"), tone(), tolerance=LOSSY)


@reads("Names with spaces, line breaks, quotes, %, #, commas, emoji, a leading dash or a dot")
def _(folder):
    names = [
        "a b.wav",
        "a\nb.wav",
        "a'b\".wav",
        "100%.wav",
        "#1.wav",
        "a,b.wav",
        "🎤.wav",
        "-a.wav",
    ]
    return [plain(folder, PLAIN, name) for name in [*names, ".hidden", "日本語.wav"]]


@reads("Names as long as a file system allows")
def _(folder):
    return plain(folder, PLAIN, "a" * 251 + ".wav")


@refuses("Names that are too long, or hold a zero byte")
def _(folder):
    return [
        Refusal("a" * 256, "cannot be opened (File name too long)"),
        Refusal("a\0b", "has a name that no file can have"),
    ]


@reads("Names in composed and decomposed Unicode")
def _(folder):
    return [plain(folder, PLAIN, unicodedata.normalize(form, "Bär")) for form in ("NFC", "NFD")]


@refuses("A name in the other form of Unicode")
def _(folder):
    decomposed = unicodedata.normalize("NFD", "Bär")
    saved(folder, PLAIN, decomposed)
    words = "a file of the same name does in other Unicode characters"
    return Refusal(unicodedata.normalize("NFC", decomposed), words)


@refuses("An extension in the other case")
def _(folder):
    saved(folder, PLAIN, "a.WAV")
    return Refusal("a.wav", "a file of the same name does with .WAV at its end")


@refuses("Windows path separators")
def _(folder):
    (folder / "sub").mkdir()
    saved(folder / "sub", PLAIN)
    return Refusal(r"sub\clip", "a file of the same name does with / instead of \\")


@refuses("~ for the home folder")
def _(folder):
    return Refusal("~/clip.wav", "~ is not replaced by your home folder")


@reads("Absolute and relative paths, also out of the audio folder")
def _(folder):
    (folder / "sub").mkdir()
    absolute = str(folder / plain(folder).clips)
    relative = f"sub/../../{folder.name}/clip"
    joined = np.tile(PLAIN_SAMPLES, 2)
    return [Sound(f"{absolute}|{relative}", joined)]


@reads("A link to a clip")
def _(folder):
    (folder / "link").symlink_to(plain(folder).clips)
    return Sound("link", PLAIN_SAMPLES)


@refuses("A link to nothing, or in a circle")
def _(folder):
    (folder / "broken").symlink_to("gone.wav")
    (folder / "circle").symlink_to("circle")
    return [
        Refusal("broken", "is a link to gone.wav, which does not exist"),
        Refusal("circle", "cannot be opened (Too many levels of symbolic links)"),
    ]


@refuses("A clip that is not there")
def _(folder):
    return Refusal("gone.wav", "does not exist")


@refuses("A folder, a named pipe or a device")
def _(folder):
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    return [Refusal(name, "is not a file") for name in ("folder", "pipe", "/dev/zero")]


@refuses("A file that may not be read")
def _(folder):
    name = saved(folder, PLAIN)
    (folder / name).chmod(0)
    return Refusal(name, "cannot be opened (Permission denied)")


# Damage


@refuses("An empty file")
def _(folder):
    return Refusal(saved(folder, b""), "is an empty file")


@refuses("A header without the sound it promises")
def _(folder):
    return Refusal(saved(folder, PLAIN[:44]), "promises 8000 bytes of sound, it holds 0")


@refuses("Half a header")
def _(folder):
    return [
        Refusal(saved(folder, content, name), "cannot be decoded")
        for name, content in (("wav", PLAIN[:20]), ("flac", encoded(tone(), "FLAC")[:20]))
    ]


@refuses("WAV, RF64, W64, AIFF, AU or CAF cut off")
def _(folder):
    whole = {
        "wav": PLAIN,
        "rf64": rf64(8_000),
        "w64": w64(),
        "aiff": encoded(PLAIN_SAMPLES, "AIFF", "PCM_16"),
        "au": au(),
        "caf": encoded(PLAIN_SAMPLES, "CAF", "PCM_16"),
    }
    words = "is truncated (its header promises"
    return [Refusal(saved(folder, whole[name][:-1_000], name), words) for name in whole]


@refuses("FLAC cut off")
def _(folder):
    content = encoded(tone(2), "FLAC")
    return Refusal(saved(folder, content[: len(content) // 2]), "is truncated or damaged")


@refuses("OGG cut off")
def _(folder):
    words = "is truncated or damaged (its last Ogg page is missing)"
    refusals = []
    for codec in ("VORBIS", "OPUS"):
        content = encoded(tone(5), "OGG", codec)
        for place, cut in (("page", content.rindex(b"OggS")), ("anywhere", len(content) // 2)):
            refusals.append(Refusal(saved(folder, content[:cut], f"{codec} {place}"), words))
    return refusals


@refuses("MP3 cut off")
def _(folder):
    content = encoded(tone(5), "MP3")
    return Refusal(saved(folder, content[: len(content) // 2]), "is truncated")


@refuses("MP3 with a hole of zero bytes")
def _(folder):
    content = bytearray(encoded(tone(5), "MP3"))
    middle = len(content) // 2
    content[middle : middle + 3_000] = bytes(3_000)
    return Refusal(saved(folder, bytes(content)), "is truncated or damaged")


@refuses("WAV whose recorder never filled in its size")
def _(folder):
    content = wav(integers(16), size=0)
    return Refusal(saved(folder, content), "contains no samples by its header, which 8000 bytes")


@reads("WAV written to a pipe, without its size")
def _(folder):
    sizes = {"ffmpeg": 0xFFFFFFFF, "sox": 0x7FFFF000, "arecord": 0x7FFFFF00}
    return [plain(folder, wav(integers(16), size=size), name) for name, size in sizes.items()]


@reads("FLAC written to a pipe, without its length")
def _(folder):
    content = bytearray(encoded(PLAIN_SAMPLES, "FLAC"))
    content[21] &= 0xF0  # the number of samples: the last 36 bits of these bytes
    content[22:26] = bytes(4)
    whole = plain(folder, bytes(content))
    return [whole, Sound(whole.clips, PLAIN_SAMPLES[800:1600], start="0.05", end="0.1")]


@reads("Bytes after the sound")
def _(folder):
    garbage = bytes(range(256)) * 4
    ogg = encoded(tone(), "OGG", "VORBIS")
    return [
        plain(folder, PLAIN + garbage, "wav"),
        plain(folder, encoded(PLAIN_SAMPLES, "FLAC") + garbage, "flac"),
        Sound(saved(folder, ogg + garbage, "ogg"), tone(), tolerance=LOSSY),
        Sound(saved(folder, mp3(tone(), "CONSTANT") + garbage, "mp3"), tone(), tolerance=LOSSY),
    ]


ID3 = b"ID3\x04\0\0" + bytes([0, 0, 8, 0]) + bytes(1_024)


@reads("ID3 tags")
def _(folder):
    tagged = ID3 + encoded(tone(), "MP3") + b"TAG" + bytes(125)
    return [
        Sound(saved(folder, tagged, "mp3"), tone(), tolerance=LOSSY),
        plain(folder, ID3 + encoded(PLAIN_SAMPLES, "FLAC"), "flac"),
        plain(folder, ID3 + PLAIN, "wav"),
    ]


@reads("Chunks before the samples")
def _(folder):
    notes = chunk(b"LIST", b"INFOISFT\4\0\0\0Lavf") + chunk(b"cue ", struct.pack("<I", 0))
    return plain(folder, wav(integers(16), before=notes))


@reads("Chunks of odd size")
def _(folder):
    return plain(folder, wav(integers(16), before=chunk(b"note", b"abc")))


@refuses("Chunks of odd size that are not padded")
def _(folder):
    return Refusal(saved(folder, wav(integers(16), before=b"note\3\0\0\0abc")), "cannot be decoded")


@reads("Samples of odd length")
def _(folder):
    content = riff(wav_format(1, 8), chunk(b"data", b"\x00\x80\xff"))
    samples = np.array([-1, 0, 127 / 128])
    return [
        Sound(saved(folder, content, "padded"), samples),
        Sound(saved(folder, content[:-1], "not padded"), samples),
    ]


@refuses("Several files in one")
def _(folder):
    ogg, sound = encoded(tone(), "OGG", "VORBIS"), encoded(tone(2), "MP3")
    return [
        Refusal(saved(folder, ogg + ogg, "ogg"), "several Ogg streams, of which only the first"),
        Refusal(saved(folder, sound + sound, "mp3"), "would be decoded"),
    ]


# No sound, or none that can be decoded


FOREIGN = {
    "M4A (AAC or ALAC)": (b"\0\0\0\x20ftypM4A \0\0\2\0", "is M4A"),
    "MP4 and 3GP": (b"\0\0\0\x18ftyp3gp5", "is MP4 or 3GP"),
    "Raw AAC": (b"\xff\xf1\x50\x80\x1a\x7f\xfc", "is raw AAC"),
    "WebM and Matroska": (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01", "is WebM or Matroska"),
    "WMA": (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "is WMA"),
    "AMR": (b"#!AMR\n\x3c", "is AMR"),
    "Ogg Speex": (b"OggS\0\2" + bytes(20) + b"\1\x50Speex   1.2", "is Ogg Speex"),
    "SPHERE compressed by shorten": (
        b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\n" + bytes(950) + b"ajkg",
        "is SPHERE compressed by shorten",
    ),
    "Raw samples without a header": (b"", "cannot be decoded (Format not recognised)"),
    "A picture": (b"\x89PNG\r\n\x1a\n", "is no sound but a PNG image"),
    "An archive": (b"PK\3\4", "is no sound but a ZIP archive"),
}
for _kind, (_magic, _words) in FOREIGN.items():

    @refuses(_kind)
    def _(folder, magic=_magic, words=_words):
        content = magic + np.random.default_rng(0).bytes(5_000)
        return [Refusal(saved(folder, content, name), words) for name in ("clip.wav", "clip")]


@refuses("Text")
def _(folder):
    text = "Wörter, keine Töne\n".encode() * 500
    return [
        Refusal(saved(folder, text, name), "is no sound but text")
        for name in ("clip.wav", "clip.gsm", "clip.raw")
    ]


@refuses("A web page instead of the download")
def _(folder):
    page = b"\n<!DOCTYPE html><html><h1>404 Not Found</h1></html>"
    return Refusal(saved(folder, page), "is no sound but a web page")


@refuses("A Git LFS pointer")
def _(folder):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    return Refusal(saved(folder, pointer), "git lfs pull")


@refuses("Zero bytes only")
def _(folder):
    return Refusal(saved(folder, bytes(10_000)), "is no sound but zero bytes")


# Several clips, and parts of clips


@reads("Several clips of different rates and channels")
def _(folder):
    stereo = np.repeat(integers(16, 800)[:, None], 2, axis=1)
    names = [saved(folder, wav(stereo), "a"), saved(folder, float_wav(faded(48_000), 48_000), "b")]
    joined = np.concatenate([integers(16, 800) / 2**15, faded(RATE)])
    return Sound("|".join(names), joined, tolerance=1e-3)


@reads("The same clip twice")
def _(folder):
    return Sound(f"{plain(folder).clips}|clip", np.tile(PLAIN_SAMPLES, 2))


@reads("A segment, open on either side or none")
def _(folder):
    name = plain(folder).clips
    return [
        Sound(name, PLAIN_SAMPLES[800:1600], start="0.05", end="0.1"),
        Sound(name, PLAIN_SAMPLES[800:], start="0.05"),
        Sound(name, PLAIN_SAMPLES[:1600], end="1e-1"),
    ]


@reads("A segment that ends up to 10 ms after its clip")
def _(folder):
    return Sound(plain(folder).clips, PLAIN_SAMPLES[800:], start="0.05", end="0.259")


def bad_segment(start: str, end: str, words: str) -> Callable[[Path], Refusal]:
    return lambda folder: Refusal(plain(folder).clips, words, start, end)


refuses("A segment that ends before it starts")(
    bad_segment("0.2", "0.1", "its segment ends at 0.1 s, not after its start at 0.2 s")
)
refuses("A segment that starts before its clip")(
    bad_segment("-0.5", "0.1", "its segment starts at -0.5 s, before its clip")
)
refuses("A segment that starts after its clip")(
    bad_segment("0.25", "", "its segment starts at 0.25 s, but its clip ends at 0.250 s")
)
refuses("A segment that ends after its clip")(
    bad_segment("0.1", "0.27", "its segment ends at 0.27 s, but its clip at 0.250 s")
)
refuses("A segment shorter than a millisecond")(
    bad_segment("0.1", "0.1005", "its segment is shorter than 0.001 s")
)
refuses("A segment of several clips")(
    lambda folder: Refusal(
        f"{plain(folder).clips}|clip", "a segment lies in a single clip", start="0.1"
    )
)


@refuses("A segment whose seconds are no number")
def _(folder):
    name = plain(folder).clips
    texts = ("a", "nan", "inf", "1,5", "00:01:30")
    return [Refusal(name, f"{text!r} is no number of seconds", end=text) for text in texts]


# The tests


def manifest_of(folder: Path, rows: list[Sound] | list[Refusal]) -> pd.DataFrame:
    """What is read of a table with these rows; their ids are their numbers."""
    table = pd.DataFrame(
        {
            "id": map(str, range(len(rows))),
            "text": "",
            "label": "x",
            "audio": [row.clips for row in rows],
            "start": [row.start for row in rows],
            "end": [row.end for row in rows],
        }
    )
    table.to_parquet(folder / "table.parquet")  # unlike CSV it holds any character
    columns = Columns(start="start", end="end")
    return read_manifest(Table(path=str(folder / "table.parquet"), columns=columns))


def rows_of(built: object) -> list:
    return built if isinstance(built, list) else [built]


@pytest.mark.parametrize("kind", READ)
def test_read(kind, tmp_path):
    sounds = rows_of(READ[kind](tmp_path))
    manifest = manifest_of(tmp_path, sounds)
    assert find_clip_problems(manifest)["problem"].tolist() == []
    for sound, row in zip(sounds, manifest.itertuples(), strict=True):
        found = read_utterance(row.audio, sound.rate, row.start, row.end)
        assert found.dtype == np.float32
        assert found.shape == np.shape(sound.samples)
        np.testing.assert_allclose(found, sound.samples, rtol=0, atol=sound.tolerance)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, tmp_path):
    refusals = rows_of(REFUSED[kind](tmp_path))
    try:
        manifest = manifest_of(tmp_path, refusals)
    except InputError as error:
        messages = str(error).splitlines()[1:]
    else:
        with nobody() if kind == "A file that may not be read" else nullcontext():
            messages = find_clip_problems(manifest)["problem"]
    for refusal, message in zip(refusals, messages, strict=True):
        assert refusal.words in message


@contextmanager
def nobody() -> Iterator[None]:
    """Lay down for a while the administrator's right to read anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_document_lists_these_kinds_and_what_happens():
    table = re.findall(r"^\| (.+?) \| (.+?) \|$", DOCUMENT.read_text(encoding="utf-8"), re.M)
    document = {kind: outcome for kind, outcome in table if not kind.startswith(("--", "what"))}
    outcomes = {kind: "read" for kind in READ} | {kind: "refused" for kind in REFUSED}
    assert {kind: outcome.split()[0].strip(",:;") for kind, outcome in document.items()} == outcomes


VALID = {
    "WAV": PLAIN,
    "RF64": rf64(8_000),
    "W64": w64(),
    "AU": au(),
    "AIFF": encoded(PLAIN_SAMPLES, "AIFF", "PCM_16"),
    "CAF": encoded(PLAIN_SAMPLES, "CAF", "PCM_16"),
    "FLAC": encoded(PLAIN_SAMPLES, "FLAC"),
    "Vorbis": encoded(tone(2), "OGG", "VORBIS"),
    "Opus": encoded(tone(2), "OGG", "OPUS"),
    "MP3": mp3(tone(2), "VARIABLE"),
}
SECONDS = {name: 2.0 if name in ("Vorbis", "Opus", "MP3") else 0.25 for name in VALID}


def checked_and_read(path: Path) -> float | None:
    """The length in seconds of a clip that can be used."""
    try:
        seconds = check_clip(path)
    except ClipError:
        with suppress(ClipError):
            read_clip(path, RATE)
        return None
    assert abs(len(read_clip(path, RATE)) / RATE - seconds) < 0.001
    return seconds


@pytest.mark.parametrize("name", VALID)
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_a_file_is_whole_or_refused(name, share, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"cut {name}"
    path.write_bytes(VALID[name][: int(share * len(VALID[name]))])
    assert checked_and_read(path) in (None, SECONDS[name])


@pytest.mark.parametrize("name", VALID)
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))))
def test_a_file_with_changed_bytes_is_read_or_refused(name, places, tmp_path_factory):
    content = bytearray(VALID[name])
    for share, byte in places:
        content[int(share * len(content))] = byte
    path = tmp_path_factory.getbasetemp() / f"changed {name}"
    path.write_bytes(content)
    checked_and_read(path)


@given(
    magic=st.sampled_from([content[:12] for content in VALID.values()] + [b""]), content=st.binary()
)
def test_any_bytes_are_read_or_refused(magic, content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(magic + content)
    checked_and_read(path)


def test_the_memory_of_a_check_does_not_grow_with_the_clip(tmp_path):
    """Ten minutes: 36 MB of samples, were they all decoded at once."""
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.zeros((4_800_000, 2), dtype="<i2"), 8_000))
    check_clip(path)  # loads what it needs
    tracemalloc.start()
    assert check_clip(path) == 600
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6
