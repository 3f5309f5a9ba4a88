"""The small neural baseline: a recurrent network that reads cepstra, pitch and energy in time."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from speechlasso.language_model.settings import Finetune
from speechlasso.section import Share
from speechlasso.systems.settings import FINETUNE_SWEEPS, Reads, System, reads_to_finetune


class MFCCLSTM(System):
    sweeps = FINETUNE_SWEEPS
    reads_audio = True
    inputs: ClassVar[list[str]] = ["audio"]

    system: Literal["mfcc_lstm"]
    """A bidirectional LSTM on each utterance's cepstra, energy and pitch, 50 frames a second, whose
    outputs are averaged over time. `finetune` says how it learns."""
    hidden_size: PositiveInt = 64
    """Units of each direction."""
    n_layers: PositiveInt = 1
    """Recurrent layers, one upon the other."""
    dropout: Share = 0.3
    """Dropout before the classification head, and between layers."""

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        return finetune.with_defaults("method").as_read(reads_audio=False)

    def reads(self, artifacts: Any) -> Reads:
        upstream = {
            "token_texts": artifacts.token_texts([], None),
            "frames": artifacts.acoustic_frames("spectral"),
        }
        return reads_to_finetune(self, artifacts, upstream)
