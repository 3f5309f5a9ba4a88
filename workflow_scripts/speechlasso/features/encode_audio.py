"""Frames of an encoder for every utterance: computed once for a corpus, read by many."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import torch

from speechlasso.audio.reading import segment_span
from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.errors import InputError
from speechlasso.features.clip_batches import encoded
from speechlasso.features.encoders import SAMPLE_RATE, AcousticFrames, open_encoder
from speechlasso.features.frame_files import FrameKind
from speechlasso.features.hidden_states import HiddenStates
from speechlasso.features.settings import Encoder

logger = logging.getLogger(__name__)


def encode_audio(
    settings: Encoder,
    utterances: pd.DataFrame,
    n_threads: int = 1,
    clips: RecordedClips | None = None,
) -> tuple[dict[str, np.ndarray], FrameKind]:
    """Run the encoder over the clips of each utterance, joined in order.

    Parameters
    ----------
    utterances
        Columns id and audio (list of clips), and start and end where utterances are segments.
    n_threads
        Processor threads; it holds for the whole process.
    clips
        What the clips must be, if that is known.

    Returns
    -------
    frames
        Utterance id -> float16 (n_frames, n_layers, size).
    kind
        Which layers these are, and the frame rate.

    Raises
    ------
    InputError
        If the model cannot be loaded or lacks a layer, or a clip is not what it was.
    """
    torch.set_num_threads(n_threads)
    encoder = open_encoder(settings, settings.kept_layers)
    logger.info("%s", _size(encoder, utterances))

    def encode(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        return [in_half_precision(frames) for frames in encoder.encode(waveforms)]

    frames = encoded(encode, utterances, SAMPLE_RATE, clips)
    found = dict(zip(utterances["id"], frames, strict=True))
    told = settings.model_dump(mode="json")
    return found, FrameKind(encoder.layers, encoder.frame_rate, told)


def in_half_precision(frames: np.ndarray) -> np.ndarray:
    """The frames as float16.

    Raises
    ------
    InputError
        If a number is too large for it.
    """
    with np.errstate(over="ignore"):
        half = frames.astype(np.float16)
    if np.isinf(half).any():
        raise InputError(
            f"encoder: hidden states reach {np.abs(frames).max():.0f}, but half precision ends at "
            "65504; choose other layers (encoder.layers) or another model"
        )
    return half


def _size(encoder: HiddenStates | AcousticFrames, utterances: pd.DataFrame) -> str:
    """How large the frames will be, for people."""
    columns = [utterances[name] for name in ("audio", "start", "end") if name in utterances]
    seconds = 0.0
    for audio, *segment in zip(*columns, strict=True):
        spans = [segment_span(clip, *segment) for clip in audio]
        seconds += sum(end - start for start, end in spans)
    n_layers = len(encoder.layers)
    n_numbers = seconds * encoder.frame_rate * n_layers * encoder.size
    return (
        f"frames of {len(utterances)} utterances, {seconds / 60:.1f} minutes, {n_layers} "
        f"layers: about {2 * n_numbers / 1e6:.0f} MB"
    )
