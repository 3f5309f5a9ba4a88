"""Settings of the speech tokenizers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    model_validator,
)

from speechlasso.files import files_of_model
from speechlasso.section import Section, Seed
from speechlasso.tokenizers.cards import BACKENDS

TokenizerMethod = Literal[
    "spectral_rvq", "speechtokenizer", "encodec", "mimi", "dac", "xcodec", "ssl_units"
]


class SpectralRVQ(Section):
    n_layers: Annotated[int, Field(ge=1, le=16)] = 4
    """Layers of the residual quantiser."""
    codebook_size: Annotated[int, Field(ge=2, le=4096)] = 64
    """Codes per layer."""
    max_frames: PositiveInt = 30_000
    """Frames (of 20 ms) drawn from the training clips to learn the codebooks."""
    seed: Seed = 1
    """Draws training frames and first centroids."""


class SSLUnits(Section):
    layer: Annotated[int, Field(ge=0)] = 9
    """Whose hidden states to quantise, as transformers numbers them: 0 is the input embedding."""
    codebook_size: Annotated[int, Field(ge=2, le=32768)] = 500
    """Number of units."""
    max_frames: PositiveInt = 100_000
    """Frames drawn from the training clips to learn the units."""
    seed: Seed = 1
    """Draws training frames and first centroids."""


class Tokenizer(Section):
    method: TokenizerMethod = "spectral_rvq"
    """The speech tokenizer; `speechlasso tokenizers` describes each."""
    checkpoint: str | None = None
    """speechtokenizer: the official checkpoint file."""
    config: str | None = None
    """speechtokenizer: the config.json published with the checkpoint."""
    model: str | None = None
    """Codecs of transformers and ssl_units: hub id or local directory; by default the usual one."""
    revision: str | None = None
    """Commit of the model on the hub."""
    n_layers: PositiveInt | None = None
    """Pretrained codecs: use the first so many layers; by default all."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Pretrained models: bf16 is faster where there are matrix units for it, and changes codes."""
    spectral_rvq: SpectralRVQ = SpectralRVQ()
    """Cepstral and prosodic frames with codebooks learned on the training clips."""
    ssl_units: SSLUnits = SSLUnits()
    """Hidden states of a speech model, clustered on the training clips."""

    @model_validator(mode="after")
    def _files_of_speechtokenizer(self) -> Tokenizer:
        if self.method == "speechtokenizer" and not (self.checkpoint and self.config):
            raise ValueError(
                "speechtokenizer needs tokenizer.checkpoint and tokenizer.config: the two files "
                "that its authors publish"
            )
        return self

    def as_read(self) -> Self:
        return self.with_defaults(
            *(key for key in type(self).model_fields if key not in BACKENDS[self.method].reads)
        ).model_copy(update={"method": self.method})


def tokenizer_files(settings: Tokenizer) -> dict[str, str]:
    """Files on this machine that a tokenizer is read from, by what they are; none for a model of
    the hub."""
    read = settings.as_read()
    files = {"checkpoint": read.checkpoint, "config": read.config}
    of_model = files_of_model("model", read.model) if read.model else {}
    return {name: path for name, path in files.items() if path} | of_model
