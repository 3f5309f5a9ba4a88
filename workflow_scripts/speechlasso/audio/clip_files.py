"""Files that are no clips, and why: missing, misnamed, or no sound that can be decoded."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from speechlasso.errors import InputError

CONVERT = "convert it to WAV or FLAC, for instance with ffmpeg"
HEAD_BYTES = 4096

# Offset, bytes found there, what they tell. Containers of sound that libsndfile does not decode.
FOREIGN_SOUND = (
    (4, b"ftypM4A", "M4A (AAC or ALAC sound)"),
    (4, b"ftyp", "MP4 or 3GP"),
    (0, b"\xff\xf1", "raw AAC"),
    (0, b"\xff\xf9", "raw AAC"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA (Windows Media)"),
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK", "SILK"),
    (8, b"AVI ", "AVI video"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "True Audio"),
    (0, b"DSD ", "DSD"),
    (28, b"Speex   ", "Ogg Speex"),
    (28, b"\x7fFLAC", "Ogg FLAC"),
    (28, b"\x80theora", "Ogg video"),
)
NOT_SOUND = (
    (0, b"version https://git-lfs.github.com", "a Git LFS pointer; fetch the clip: git lfs pull"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it"),
    (0, b"MThd", "MIDI notes"),
)
WEB_PAGES = (b"<!doctype html", b"<html", b"<?xml")


class ClipError(InputError):
    """A clip that cannot be used; `reason` completes the sentence "the clip ..."."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}. Mend or replace the clip.")
        self.reason = reason


def open_file(path: str | Path) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    ClipError
        If it does not exist, is no file, is empty, or may not be read.
    """
    try:
        _require_content(path)
        return open(path, "rb")
    except FileNotFoundError:
        raise ClipError(path, _missing(Path(path))) from None
    except OSError as error:
        raise ClipError(path, f"cannot be opened ({os.strerror(error.errno)})") from error
    except ValueError:
        raise ClipError(path, "has a name that no file can have (a zero byte)") from None


def _require_content(path: str | Path) -> None:
    """Look without opening: to open a pipe would wait for somebody who writes into it."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ClipError(path, "is not a file")
    if status.st_size == 0:
        raise ClipError(path, "is an empty file")


def zeros_before_mp3(file: BinaryIO) -> int:
    """Number of zero bytes that an MP3 begins with; 0 for whatever else a file begins with."""
    file.seek(0)
    n_zeros = 0
    while head := file.read(HEAD_BYTES):
        sound = head.lstrip(b"\0")
        n_zeros += len(head) - len(sound)
        if sound:
            file.seek(n_zeros)
            magic = file.read(3)
            # A tag, or the sync bits of a frame of Layer III.
            is_mp3 = magic == b"ID3" or magic[0] == 0xFF and magic[1:2] and magic[1] & 0xE6 == 0xE2
            return n_zeros if is_mp3 else 0
    return 0


def foreign_content(head: bytes) -> str | None:
    """Recognise what a file is that libsndfile could not open.

    Parameters
    ----------
    head
        Its first `HEAD_BYTES` bytes.

    Returns
    -------
    A reason as `ClipError` takes it, or None.
    """
    for offset, magic, kind in FOREIGN_SOUND:
        if head.startswith(magic, offset):
            return f"is {kind}, which cannot be decoded; {CONVERT}"
    for offset, magic, kind in NOT_SOUND:
        if head.startswith(magic, offset):
            return f"is no sound but {kind}"
    if head.startswith(b"NIST_1A") and b"shorten" in head:
        return "is SPHERE compressed by shorten, which cannot be decoded; unpack it with sph2pipe"
    if not head.strip(b"\0"):
        return "is no sound but zero bytes (a download that was not finished?)"
    if head.lstrip().lower().startswith(WEB_PAGES):
        return "is no sound but a web page (an error message of the server it came from?)"
    if _is_text(head):
        return "is no sound but text"
    return None


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", errors="ignore")
    # The last character, of up to four bytes, may be cut in the middle.
    nothing_ignored = len(text.encode()) > len(head) - 4
    return nothing_ignored and text != "" and all(c.isprintable() or c.isspace() for c in text)


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which does not exist"
    for other, difference in _other_spellings(str(path)):
        if other != str(path) and os.path.exists(other):
            return f"does not exist, but a file of the same name does {difference}"
    if "~" in path.parts:
        return "does not exist (~ is not replaced by your home folder: write it out)"
    return "does not exist"


def _other_spellings(path: str) -> Iterator[tuple[str, str]]:
    """The path as another system may write it, and the difference in words."""
    yield path.replace("\\", "/"), "with / instead of \\"
    for form, system in (("NFC", "composed"), ("NFD", "decomposed, as macOS writes it")):
        yield unicodedata.normalize(form, path), f"in other Unicode characters ({system})"
    stem, extension = os.path.splitext(path)
    yield stem + extension.swapcase(), f"with {extension.swapcase()} at its end"
