"""What the header of a clip promises, beside what the file holds.

libsndfile reads what is there: it silently shortens a clip that was cut off, and silently leaves
out sound that a header does not tell of. Both are found here, from the bytes alone.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechlasso.audio.clip_files import CONVERT, open_file, zeros_before_mp3

Bytes = bytes | mmap.mmap


@dataclass(frozen=True)
class ChunkLayout:
    """How a container strings its chunks together."""

    first: int
    """Byte at which the first chunk starts."""
    header: str
    """Name and size of a chunk, as `struct` unpacks them."""
    sound: bytes
    """Name of the chunk that holds the samples."""
    alignment: int = 2
    """Chunks start at multiples of so many bytes."""
    size_counts_header: bool = False
    unknown_size: int = 0x7FFFF000
    """Recorders that cannot go back to fill in the size leave one from here on, or 0: sox this
    one, arecord 0x7FFFFF00, ffmpeg 0xFFFFFFFF."""


WAV = ChunkLayout(first=12, header="<4sI", sound=b"data")
CHUNKED = {
    b"RIFF": WAV,
    b"RF64": WAV,
    b"RIFX": ChunkLayout(first=12, header=">4sI", sound=b"data"),
    b"FORM": ChunkLayout(first=12, header=">4sI", sound=b"SSND"),
    b"caff": ChunkLayout(first=8, header=">4sq", sound=b"data", alignment=1, unknown_size=1 << 62),
    b"riff": ChunkLayout(
        first=40,
        header="<16sQ",
        sound=b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",
        alignment=8,
        size_counts_header=True,
        unknown_size=1 << 62,
    ),
}
# By version bits of the header (1 and 2; 2.5 counts as 2): kbit/s of the bitrate index.
MP3_BITRATES = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MP3_SAMPLES = {1: 1152, 2: 576}
MP3_RATES = (44_100, 48_000, 32_000)
# An encoder's lead-in and the filling of its last frame, which decoders leave out.
MP3_SKIPPED_FRAMES = 4


def header_problem(path: str | Path) -> str | None:
    """Say if a clip's container shows that sound is missing or would be left out.

    Parameters
    ----------
    path
        A clip. WAV, RF64, W64, AIFF, AU, CAF and Ogg are looked into; others pass.

    Returns
    -------
    A reason as `ClipError` takes it, or None.

    Raises
    ------
    ClipError
        If there is no such file or it cannot be opened.
    """
    with _mapped(path) as content:
        magic = content[:4]
        if magic == b"OggS":
            return _ogg_problem(content)
        if magic == b".snd":
            return _au_problem(content)
        if magic in CHUNKED:
            return _chunk_problem(content, CHUNKED[magic])
    return None


def mp3_problem(path: str | Path, n_promised: int, n_decoded: int) -> str | None:
    """Say if the decoder left out some of an MP3.

    Parameters
    ----------
    n_promised, n_decoded
        Frames by the decoder's account of the header, and those that it gave.

    Returns
    -------
    A reason as `ClipError` takes it, or None.
    """
    with _mapped(path) as content:
        sound = Mp3Frames.of(content, zeros_before_mp3(content))
    if n_decoded == 0:
        return "contains no samples"
    if sound.has_table and n_decoded < n_promised:
        return truncated(n_promised, n_decoded, "frames")
    # Without a table the promise is a guess from the first frame's bitrate.
    if sound.n_samples - n_decoded > MP3_SKIPPED_FRAMES * MP3_SAMPLES[1]:
        return (
            f"holds {sound.n_samples} frames of sound, of which only {n_decoded} would be decoded "
            f"(MP3 without a true table of its length, or several joined); {CONVERT}"
        )
    return None


def truncated(n_promised: int, n_held: int, unit: str) -> str:
    return f"is truncated (its header promises {n_promised} {unit} of sound, it holds {n_held})"


@dataclass(frozen=True)
class Mp3Frames:
    """The unbroken run of frames that an MP3 begins with."""

    n_samples: int
    """Samples per channel that they encode."""
    has_table: bool
    """Whether the first frame is no sound but a table (Xing, Info) that counts the others."""

    @classmethod
    def of(cls, content: Bytes, first: int = 0) -> Mp3Frames:
        """Those from byte `first` on."""
        n_samples, has_table = 0, False
        for start, size, samples in _mp3_frames(content, first):
            frame = content[start : start + size]
            if n_samples == 0 and (b"Xing" in frame or b"Info" in frame):
                has_table = True
            else:
                n_samples += samples
        return cls(n_samples, has_table)


def _mp3_frames(content: Bytes, first: int) -> Iterator[tuple[int, int, int]]:
    """Position, size in bytes and samples per channel of each whole frame."""
    position = _after_id3(content, first)
    while position + 4 <= len(content):
        header = int.from_bytes(content[position : position + 4], "big")
        version, layer = header >> 19 & 3, header >> 17 & 3
        bitrate, rate = header >> 12 & 15, header >> 10 & 3
        # Sync bits, Layer III, no reserved value, no free bitrate.
        if header >> 21 != 0x7FF or layer != 1 or version == 1 or not 0 < bitrate < 15 or rate == 3:
            return
        family = 1 if version == 3 else 2
        sample_rate = MP3_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
        samples = MP3_SAMPLES[family]
        size = samples // 8 * MP3_BITRATES[family][bitrate] * 1000 // sample_rate
        size += header >> 9 & 1
        if position + size > len(content):
            return
        yield position, size, samples
        position += size


def _after_id3(content: Bytes, position: int) -> int:
    """Where the ID3v2 tags end that stand before the sound."""
    while content[position : position + 3] == b"ID3" and position + 10 <= len(content):
        size = 0
        for byte in content[position + 6 : position + 10]:
            size = size << 7 | byte & 127
        position += 10 + size
    return position


def _chunk_problem(content: Bytes, layout: ChunkLayout) -> str | None:
    length_64 = 0
    for name, start, size in _chunks(content, layout):
        if name == b"ds64":
            length_64 = int.from_bytes(content[start + 8 : start + 16], "little")
        if name == layout.sound:
            if length_64 and size == 0xFFFFFFFF:
                return _size_problem(length_64, len(content) - start, 1 << 62)
            return _size_problem(size, len(content) - start, layout.unknown_size)
    return None


def _chunks(content: Bytes, layout: ChunkLayout) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of the content of each chunk."""
    position, header_size = layout.first, struct.calcsize(layout.header)
    while position + header_size <= len(content):
        name, size = struct.unpack_from(layout.header, content, position)
        if layout.size_counts_header:
            size -= header_size
        if size < 0:
            size = layout.unknown_size
        yield name, position + header_size, size
        end = position + header_size + size
        position = end + -end % layout.alignment


def _au_problem(content: Bytes) -> str | None:
    if len(content) < 12:
        return None
    start, size = struct.unpack_from(">II", content, 4)
    return _size_problem(size, len(content) - start, WAV.unknown_size)


def _size_problem(n_promised: int, n_held: int, unknown_size: int) -> str | None:
    if n_promised == 0 and n_held > 0:
        return (
            f"contains no samples by its header, which {n_held} bytes follow "
            f"(a recording that was interrupted?); {CONVERT}"
        )
    if n_held < n_promised < unknown_size:
        return truncated(n_promised, max(n_held, 0), "bytes")
    return None


def _ogg_problem(content: Bytes) -> str | None:
    if content[29:35] != b"vorbis" and content[28:36] != b"OpusHead":
        return None  # which the decoder refuses
    position, last, sound_began = 0, False, False
    while content[position : position + 4] == b"OggS" and position + 27 <= len(content):
        flags, n_segments = content[position + 5], content[position + 26]
        first, last = bool(flags & 2), bool(flags & 4)
        if first and sound_began:
            return f"is several Ogg streams, of which only the first is decoded; {CONVERT}"
        sound_began |= not first
        sizes = content[position + 27 : position + 27 + n_segments]
        position += 27 + n_segments + sum(sizes)
    if position > len(content) or not last:
        return "is truncated or damaged (its last Ogg page is missing)"
    return None


@contextmanager
def _mapped(path: str | Path) -> Iterator[mmap.mmap]:
    """The bytes of a file, read where they are looked at."""
    with (
        open_file(path) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        yield content
