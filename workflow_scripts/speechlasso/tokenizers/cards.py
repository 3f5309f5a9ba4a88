"""The cards of the tokenizers that `tokenizer.method` can name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Backend:
    """The card of a tokenizer: what it is, what it needs and which settings it reads.

    Attributes
    ----------
    module
        Its module in this package.
    reads
        Keys of the configuration's section `tokenizer`; all others change nothing for it.
    learns
        Whether it learns from clips, and so is fitted on each fold's training part.
    usual_model
        Hub id that stands for `model: null`.
    codes
        Sample rate, frame rate, layers and codes per layer, of the usual model where there is one.
    """

    module: str
    reads: tuple[str, ...]
    description: str
    codes: str
    source: str
    learns: bool = False
    usual_model: str | None = None

    def load_module(self) -> ModuleType:
        return importlib.import_module(f"{__package__}.{self.module}")


_OF_CODECS = ("model", "revision", "n_layers", "precision")

BACKENDS = {
    "spectral_rvq": Backend(
        module="spectral_rvq",
        reads=("spectral_rvq",),
        description="Cepstra, pitch, energy and their course over a phrase, with codebooks learned "
        "on the training clips. No download, no torch.",
        codes="16 kHz, 50 frames/s, 4 layers x 64 codes (settings)",
        source="this project; multistage vector quantisation of Juang and Gray 1982",
        learns=True,
    ),
    "speechtokenizer": Backend(
        module="speechtokenizer",
        reads=("checkpoint", "config", "n_layers", "precision"),
        description="The paper's codec: its first layer is distilled towards HuBERT, the others "
        "hold the rest of the sound. Needs the two files that its authors publish.",
        codes="16 kHz, 50 frames/s, 8 layers x 1024 codes",
        source="Zhang et al. 2024, SpeechTokenizer",
    ),
    "encodec": Backend(
        module="transformers_codec",
        reads=_OF_CODECS,
        description="Neural codec for speech and music, through transformers. Mono models only.",
        codes="24 kHz, 75 frames/s, 32 layers x 1024 codes",
        source="Défossez et al. 2022, High Fidelity Neural Audio Compression",
        usual_model="facebook/encodec_24khz",
    ),
    "mimi": Backend(
        module="transformers_codec",
        reads=_OF_CODECS,
        description="Speech codec of few frames, its first layer distilled towards WavLM, through "
        "transformers.",
        codes="24 kHz, 12.5 frames/s, 32 layers x 2048 codes",
        source="Défossez et al. 2024, Moshi",
        usual_model="kyutai/mimi",
    ),
    "dac": Backend(
        module="transformers_codec",
        reads=_OF_CODECS,
        description="Convolutional codec for any sound, through transformers.",
        codes="16 kHz, 50 frames/s, 12 layers x 1024 codes",
        source="Kumar et al. 2023, High-Fidelity Audio Compression with Improved RVQGAN",
        usual_model="descript/dac_16khz",
    ),
    "xcodec": Backend(
        module="transformers_codec",
        reads=_OF_CODECS,
        description="Codec whose layers hold semantic (HuBERT) and acoustic features together, "
        "through transformers.",
        codes="16 kHz, 50 frames/s, 8 layers x 1024 codes",
        source="Ye et al. 2025, Codec Does Matter",
        usual_model="hf-audio/xcodec-hubert-librispeech",
    ),
    "ssl_units": Backend(
        module="ssl_units",
        reads=("model", "revision", "precision", "ssl_units"),
        description="Hidden states of HuBERT, WavLM or Whisper's encoder, clustered by k-means on "
        "the training clips.",
        codes="16 kHz, 50 frames/s, 1 layer x 500 codes (settings)",
        source="Hsu et al. 2021, HuBERT; Lakhotia et al. 2021",
        learns=True,
        usual_model="facebook/hubert-base-ls960",
    ),
}
