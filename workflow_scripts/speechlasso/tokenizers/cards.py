"""The cards of the tokenizers that `tokenizer.method` can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from speechlasso.registry import Card, OneOf, Registry
from speechlasso.tokenizers.settings import (
    HiddenStateCodesMethod,
    SpectralRVQMethod,
    SpeechTokenizerMethod,
    SSLUnitsMethod,
    TokenizerMethod,
    TransformersCodecMethod,
)


@dataclass(frozen=True, kw_only=True)
class TokenizerCard(Card):
    """A way to turn audio into codes.

    Its settings are a `TokenizerMethod`; its module has

        load(settings, path) -> AudioTokenizer

    where `path` is None for one that does not learn, and for one that does

        SAMPLE_RATE
        fit(waveforms, settings) -> AudioTokenizer with a method save(path) and an attribute
            centroids, float32 (n_layers, codebook_size, size): codes that are alike are near

    Attributes
    ----------
    codes
        Sample rate, frame rate, layers and codes per layer, of the usual model where there is one.
    source
        Who described it.
    learns
        Whether it learns from clips, and so is fitted on each fold's training part.
    reads_frames
        Whether it reads the encoder's frames instead of clips. Its module then has, in place of
        `fit`, fit_frames(frames, kind, settings), its `settings.layers` say which, and what it
        returns has encode_frames(frames) besides.
    usual_model
        Hub id that stands for `model: null`.
    """

    codes: str
    source: str
    learns: bool = False
    reads_frames: bool = False
    usual_model: str | None = None


TOKENIZERS = Registry(
    TokenizerCard,
    "speechlasso.tokenizers",
    [
        TokenizerCard(
            name="spectral_rvq",
            implementation="speechlasso.tokenizers.spectral_rvq",
            settings=SpectralRVQMethod,
            description="Cepstra, pitch, energy and their course over a phrase, with codebooks "
            "learned on the training clips. No download, no torch.",
            codes="16 kHz, 50 frames/s, 4 layers x 64 codes (settings)",
            source="this project; multistage vector quantisation of Juang and Gray 1982",
            learns=True,
        ),
        TokenizerCard(
            name="speechtokenizer",
            implementation="speechlasso.tokenizers.speechtokenizer",
            settings=SpeechTokenizerMethod,
            description="The paper's codec: its first layer is distilled towards HuBERT, the "
            "others hold the rest of the sound. Needs the two files that its authors publish.",
            codes="16 kHz, 50 frames/s, 8 layers x 1024 codes",
            source="Zhang et al. 2024, SpeechTokenizer",
        ),
        TokenizerCard(
            name="encodec",
            implementation="speechlasso.tokenizers.transformers_codec",
            settings=TransformersCodecMethod,
            description="Neural codec for speech and music, through transformers. Mono models "
            "only.",
            codes="24 kHz, 75 frames/s, 32 layers x 1024 codes",
            source="Défossez et al. 2022, High Fidelity Neural Audio Compression",
            usual_model="facebook/encodec_24khz",
        ),
        TokenizerCard(
            name="mimi",
            implementation="speechlasso.tokenizers.transformers_codec",
            settings=TransformersCodecMethod,
            description="Speech codec of few frames, its first layer distilled towards WavLM, "
            "through transformers.",
            codes="24 kHz, 12.5 frames/s, 32 layers x 2048 codes",
            source="Défossez et al. 2024, Moshi",
            usual_model="kyutai/mimi",
        ),
        TokenizerCard(
            name="dac",
            implementation="speechlasso.tokenizers.transformers_codec",
            settings=TransformersCodecMethod,
            description="Convolutional codec for any sound, through transformers.",
            codes="16 kHz, 50 frames/s, 12 layers x 1024 codes",
            source="Kumar et al. 2023, High-Fidelity Audio Compression with Improved RVQGAN",
            usual_model="descript/dac_16khz",
        ),
        TokenizerCard(
            name="xcodec",
            implementation="speechlasso.tokenizers.transformers_codec",
            settings=TransformersCodecMethod,
            description="Codec whose layers hold semantic (HuBERT) and acoustic features together, "
            "through transformers.",
            codes="16 kHz, 50 frames/s, 8 layers x 1024 codes",
            source="Ye et al. 2025, Codec Does Matter",
            usual_model="hf-audio/xcodec-hubert-librispeech",
        ),
        TokenizerCard(
            name="ssl_units",
            implementation="speechlasso.tokenizers.ssl_units",
            settings=SSLUnitsMethod,
            description="Hidden states of HuBERT, WavLM or Whisper's encoder, clustered by k-means "
            "on the training clips.",
            codes="16 kHz, 50 frames/s, 1 layer x 500 codes (settings)",
            source="Hsu et al. 2021, HuBERT; Lakhotia et al. 2021",
            learns=True,
            usual_model="facebook/hubert-base-ls960",
        ),
        TokenizerCard(
            name="hidden_state_codes",
            implementation="speechlasso.tokenizers.hidden_state_codes",
            settings=HiddenStateCodesMethod,
            description="Hidden states of the encoder (section encoder; by default Whisper's), "
            "product-quantised, by frame or pooled, with codebooks learned on the training clips.",
            codes="16 kHz, 50 frames/s or pooled, 16 layers x 64 codes (settings)",
            source="this project; Jegou et al. 2011, Product quantization",
            learns=True,
            reads_frames=True,
        ),
    ],
)
Tokenizer = Annotated[TokenizerMethod, OneOf(TOKENIZERS, "method")]
