"""Clips that are read: what was recorded, names and places, damage, parts."""

from __future__ import annotations

import struct
import unicodedata

import numpy as np
from odd_clips import ID3, LOSSY, PLAIN, PLAIN_SAMPLES, Sound, faded, mp3, plain, reads, saved
from sound_bytes import RATE, chunk, encoded, float_wav, integers, riff, tone, wav, wav_format

# What was recorded


@reads("Any sample rate from 8 to 192 kHz, odd ones included")
def _(folder):
    rates = (8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 44_100, 48_000, 96_000, 192_000)
    return [
        Sound(saved(folder, float_wav(faded(rate), rate), f"{rate}"), faded(RATE), tolerance=1e-3)
        for rate in rates
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


@reads("Denormal numbers")
def _(folder):
    tiny = tone().astype(np.float32) * np.float32(1e-40)
    return Sound(saved(folder, float_wav(tiny)), tiny)


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


@reads("Names in composed and decomposed Unicode")
def _(folder):
    return [plain(folder, PLAIN, unicodedata.normalize(form, "Bär")) for form in ("NFC", "NFD")]


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


@reads("Samples of odd length")
def _(folder):
    content = riff(wav_format(1, 8), chunk(b"data", b"\x00\x80\xff"))
    samples = np.array([-1, 0, 127 / 128])
    return [
        Sound(saved(folder, content, "padded"), samples),
        Sound(saved(folder, content[:-1], "not padded"), samples),
    ]


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
