"""Clips that are wrong, one among twelve in a table. docs/audio.md has more kinds of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from bad_input import bad, with_table
from odd_clips import PLAIN
from sound_bytes import encoded, float_wav, integers, tone, wav

SPOILT = "u03.wav"
MEND = "Mend or remove them, or set audio.on_bad: skip"


def spoilt(what: str, names: str, remedy: str = MEND, **config: object) -> Callable:
    """A case of what a function makes of one clip."""

    def add(spoil: Callable[[Path], object]) -> None:
        def make(folder: Path) -> list[str]:
            with_table(folder, **config).to_csv(folder / "table.csv", index=False)
            clip = folder / SPOILT
            content = clip.read_bytes()
            clip.unlink()
            if isinstance(made := spoil(clip, content), bytes):
                clip.write_bytes(made)
            return ["snakemake", "mine.yaml"]

        bad("clips", what, names, remedy)(make)

    return add


def content(what: str, names: str, spoil: Callable[[bytes], bytes]) -> None:
    spoilt(what, f"u03: u03.wav: {names}")(lambda clip, whole: spoil(whole))


content("an empty clip", "is an empty file", lambda whole: b"")
content("a clip cut off", "is truncated (its header promises", lambda whole: whole[:-900])
content("half a header", "cannot be decoded", lambda whole: whole[:20])
content("a header without samples", "is truncated", lambda whole: PLAIN[:44])
content("no samples", "contains no samples", lambda whole: wav(np.zeros(0)))
content("text called .wav", "is no sound but text", lambda whole: b"The cat sat on the mat.\n" * 9)
content("zero bytes alone", "is no sound but zero bytes", lambda whole: bytes(4000))
content("random bytes", "cannot be decoded", lambda whole: np.random.default_rng(0).bytes(4000))
content(
    "not a number among the samples",
    "contains samples that are not finite",
    lambda whole: float_wav(np.append(tone(), np.nan)),
)
content(
    "infinity among the samples",
    "contains samples that are not finite",
    lambda whole: float_wav(np.append(tone(), np.inf)),
)
content(
    "integers stored as floating point",
    "contains samples of 32768 times full scale",
    lambda whole: float_wav(integers(16)),
)
content(
    "a sample rate of 1 Hz",
    "has an impossible sample rate (1 Hz)",
    lambda whole: wav(integers(16), 1),
)
content(
    "stereo in opposite phase",
    "is silent when its channels are averaged",
    lambda whole: wav(np.stack([integers(16) // 2, -(integers(16) // 2)], axis=1)),
)
content("FLAC cut off", "is truncated or damaged", lambda whole: encoded(tone(2), "FLAC")[:9000])
content(
    "Ogg cut off", "is truncated or damaged", lambda whole: encoded(tone(5), "OGG", "VORBIS")[:5000]
)


@spoilt("a clip that is not there", "u03: u03.wav: does not exist")
def _(clip, whole):
    return None


@spoilt("a clip of another case", "a file of the same name does with .WAV at its end")
def _(clip, whole):
    clip.with_suffix(".WAV").write_bytes(whole)


@spoilt("a folder for a clip", "u03: u03.wav: is not a file")
def _(clip, whole):
    clip.mkdir()


@spoilt("a link to nothing", "u03.wav: is a link to gone.wav, which does not exist")
def _(clip, whole):
    clip.symlink_to("gone.wav")


@spoilt("four bad clips", "4 clips cannot be used:")
def _(clip, whole):
    for name in ("u05.wav", "u07.wav"):
        clip.with_name(name).unlink()
    clip.with_name("u09.wav").write_bytes(b"")


@spoilt(
    "more bad clips than may be skipped",
    "more than audio.max_bad_share: 0.05 allows",
    "Mend or remove",
    audio={"on_bad": "skip"},
)
def _(clip, whole):
    return b""


@bad("clips", "a segment after its clip's end", "u05: u05.wav: its segment", MEND)
def _(folder):
    table = with_table(folder, columns={"start": "start", "end": "end"})
    table.assign(start="", end="").astype({"end": object}).replace({"end": {"": "0.1"}}).assign(
        end=["9" if name == "u05" else "0.1" for name in table["id"]]
    ).to_csv(folder / "table.csv", index=False)
    return ["snakemake", "mine.yaml"]
