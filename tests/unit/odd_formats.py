"""Clips that are read: what their samples are written in."""

from __future__ import annotations

import struct

import numpy as np
from odd_clips import ID3, LOSSY, PLAIN_SAMPLES, Sound, au, mp3, plain, reads, rf64, saved, w64
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
    wav_format,
    without_mp3_table,
)

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


@reads("RF64")
def _(folder):
    return plain(folder, rf64(8_000))


@reads("W64")
def _(folder):
    return plain(folder, w64())


@reads("AIFF")
def _(folder):
    return plain(folder, encoded(PLAIN_SAMPLES, "AIFF", "PCM_16"))


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


@reads("MP3 of constant bit rate without a table of its length")
def _(folder):
    content = without_mp3_table(mp3(tone(2), "CONSTANT"))
    # Without the table nothing tells the decoder how much the encoder put before and after.
    samples = np.zeros(576 * len(range(0, len(tone(2)) + 1105, 576)))
    samples[1105 : 1105 + len(tone(2))] = tone(2)
    return Sound(saved(folder, content), samples, tolerance=LOSSY)
