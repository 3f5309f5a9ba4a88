"""Clips that are refused."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from odd_clips import PLAIN, PLAIN_SAMPLES, Refusal, au, mp3, plain, refuses, rf64, saved, w64
from sound_bytes import encoded, float_wav, integers, tone, wav, without_mp3_table


@refuses("MP3 after zero bytes, cut off")
def _(folder):
    content = bytes(100) + encoded(tone(5), "MP3")
    return Refusal(saved(folder, content[: len(content) // 2]), "is truncated")


@refuses("MP3 of variable bit rate without a table of its length")
def _(folder):
    noise_then_silence = np.append(0.5 * integers(16, 44_100) / 2**15, np.zeros(88_200))
    content = without_mp3_table(mp3(noise_then_silence, "VARIABLE", 44_100))
    return Refusal(saved(folder, content), "would be decoded")


@refuses("A sample rate that cannot be")
def _(folder):
    return [
        Refusal(saved(folder, wav(integers(16), 1), "1"), "impossible sample rate (1 Hz)"),
        Refusal(saved(folder, wav(integers(16), 0), "0"), "cannot be decoded"),
    ]


@refuses("Stereo in opposite phase")
def _(folder):
    one = integers(16) // 2
    lossy = np.stack([tone(), -tone()], axis=1)
    return [
        Refusal(saved(folder, wav(np.stack([one, -one], axis=1)), "exact"), "opposite phase"),
        Refusal(saved(folder, encoded(lossy, "OGG", "VORBIS"), "lossy"), "opposite phase"),
    ]


@refuses("Integers stored as floating point")
def _(folder):
    words = "times full scale (integers stored as floats?)"
    return Refusal(saved(folder, float_wav(integers(16))), words)


@refuses("NaN and infinity")
def _(folder):
    names = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
    files = [saved(folder, float_wav(np.append(tone(), value)), n) for n, value in names.items()]
    return [Refusal(name, "contains samples that are not finite numbers") for name in files]


@refuses("No sound in a whole file")
def _(folder):
    return Refusal(saved(folder, wav(np.zeros(0))), "contains no samples")


@refuses("Names that are too long, or hold a zero byte")
def _(folder):
    return [
        Refusal("a" * 256, "cannot be opened (File name too long)"),
        Refusal("a\0b", "has a name that no file can have"),
    ]


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


@refuses("Chunks of odd size that are not padded")
def _(folder):
    return Refusal(saved(folder, wav(integers(16), before=b"note\3\0\0\0abc")), "cannot be decoded")


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
