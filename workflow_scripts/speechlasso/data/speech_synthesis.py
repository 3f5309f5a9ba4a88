"""Speech synthesis with espeak-ng, from the library and voices in the espeakng-loader wheel.

espeak-ng (1.52) keeps state that none of its calls resets, not even terminating it: the same
sentence spoken twice gives different samples, so an utterance depends on those before it. Therefore
each is spoken by a library freshly loaded into memory and unloaded afterwards, which costs a few
milliseconds and makes synthesis a function of its arguments. Not for several threads at once.
"""

from __future__ import annotations

import ctypes
import tempfile
from _ctypes import dlclose
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np

from speechlasso.errors import InputError

SAMPLE_RATE = 22_050

# Values of enumerations and flags in espeak-ng's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_DO_NOT_EXIT_THE_PROCESS = 0x8000
_RATE, _VOLUME, _PITCH, _PITCH_RANGE, _WORD_GAP = 1, 2, 3, 4, 7
_POSITION_IN_CHARACTERS = 1
_TEXT_IS_UTF8 = 1
_TEXT_IS_SSML = 0x10

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Prosody:
    """How an utterance is spoken; the defaults are espeak-ng's own.

    Attributes
    ----------
    rate
        Words per minute, 80 to 450.
    pitch
        Pitch level from 0 to 99; 50 is the voice's own. Some 5.5 units make a semitone.
    pitch_range
        From 0 (monotone) to 99; 50 is the voice's own, and the excursions are proportional to it.
    volume
        Percent of the voice's own amplitude; much above 100 espeak-ng limits the peaks.
    word_gap
        Extra pause between words; a unit is about 18 ms at 175 words per minute.
    """

    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100
    word_gap: int = 0


def synthesise(
    text: str, voice: str, prosody: Prosody | None = None, *, ssml: bool = False
) -> np.ndarray:
    """Speak a text.

    Parameters
    ----------
    text
        Plain text, or SSML if `ssml` is set.
    voice
        A language of espeak-ng, with a variant if wanted: "en-us", "en-us+f3".
    prosody
        How to speak it; espeak-ng's defaults if not given.
    ssml
        Whether elements in angle brackets are SSML; plain text takes them literally.

    Returns
    -------
    Waveform of shape (n_samples,), int16, mono, at `SAMPLE_RATE` Hz. The same arguments give the
    same samples, whatever was spoken before.

    Raises
    ------
    InputError
        If espeak-ng has no such voice or nothing in the text can be spoken.
    """
    prosody = prosody or Prosody()
    blocks: list[np.ndarray] = []

    @_Callback
    def keep_block(samples, n_samples, _events):
        if samples and n_samples > 0:
            # espeak-ng writes the next block into the same memory.
            blocks.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        return 0

    with _fresh_library() as espeak:
        espeak.espeak_SetSynthCallback(keep_block)
        if espeak.espeak_SetVoiceByName(voice.encode()):
            raise InputError(
                f"espeak-ng has no voice {voice!r}. Expected a language such as 'en-us', "
                "with a variant if wanted ('en-us+f3'); `espeak-ng --voices` lists them."
            )
        espeak.espeak_SetParameter(_RATE, prosody.rate, 0)
        espeak.espeak_SetParameter(_PITCH, prosody.pitch, 0)
        espeak.espeak_SetParameter(_PITCH_RANGE, prosody.pitch_range, 0)
        espeak.espeak_SetParameter(_VOLUME, prosody.volume, 0)
        espeak.espeak_SetParameter(_WORD_GAP, prosody.word_gap, 0)
        encoded = text.encode()
        flags = _TEXT_IS_UTF8 | (_TEXT_IS_SSML if ssml else 0)
        failed = espeak.espeak_Synth(
            encoded, len(encoded) + 1, 0, _POSITION_IN_CHARACTERS, 0, flags, None, None
        )
        espeak.espeak_Synchronize()
    waveform = np.concatenate([np.zeros(0, np.int16), *blocks])
    if failed or not waveform.any():
        raise InputError(
            f"espeak-ng is silent on {text!r} with voice {voice!r}. Expected words it can speak."
        )
    return waveform


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """The espeak-ng library in its initial state, unloaded at the end."""
    with tempfile.TemporaryDirectory() as folder:
        # espeak-ng cuts a data path at 160 characters, and environments often lie deeper.
        data = Path(folder) / "espeak-ng-data"
        data.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
        espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            _declare_signatures(espeak)
            espeak.espeak_Initialize(
                _OUTPUT_SYNCHRONOUS, 0, str(data).encode(), _DO_NOT_EXIT_THE_PROCESS
            )
            # The noise in breathy voices would otherwise be seeded by the clock.
            espeak.espeak_ng_SetRandSeed(0)
            yield espeak
        finally:
            espeak.espeak_Terminate()
            dlclose(espeak._handle)


def _declare_signatures(espeak: ctypes.CDLL) -> None:
    """Argument types as in speak_lib.h; all return an int."""
    number, flags, text, pointer = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
    espeak.espeak_Initialize.argtypes = [number, number, text, number]
    espeak.espeak_SetSynthCallback.argtypes = [_Callback]
    espeak.espeak_SetVoiceByName.argtypes = [text]
    espeak.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    espeak.espeak_SetParameter.argtypes = [number, number, number]
    espeak.espeak_Synth.argtypes = [
        text, ctypes.c_size_t, flags, number, flags, flags, pointer, pointer
    ]  # fmt: skip
