"""Settings of the speech tokenizers, a class for each kind."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    model_validator,
)

from speechlasso.files import files_of_model
from speechlasso.section import ORDERED_NUMBERS, PositiveFloat, Section, Seed


class TokenizerMethod(Section):
    """What tokenizers have in common; each has a key `method`."""

    @property
    def planned_n_layers(self) -> int | None:
        """How many layers the codes will have, as far as the settings tell."""
        return None

    @property
    def about_layers(self) -> str:
        """A sentence for people on what the layers of the codes are."""
        return ""

    def files(self) -> dict[str, str]:
        """Files on this machine that the tokenizer is read from, by what they are; none for a model
        of the hub."""
        return {}


_RESIDUAL = (
    "Its layers are the steps of a residual quantiser: the first holds most of the sound, each "
    "later one what those before left over."
)


class SpectralRVQMethod(TokenizerMethod):
    method: Literal["spectral_rvq"]
    """Cepstral and prosodic frames with codebooks learned on the training clips."""
    n_layers: Annotated[int, Field(ge=1, le=16)] = 4
    """Layers of the residual quantiser."""
    codebook_size: Annotated[int, Field(ge=2, le=4096)] = 64
    """Codes per layer."""
    max_frames: PositiveInt = 30_000
    """Frames (of 20 ms) drawn from the training clips to learn the codebooks."""
    seed: Seed = 1
    """Draws training frames and first centroids."""

    @property
    def planned_n_layers(self) -> int:
        return self.n_layers

    @property
    def about_layers(self) -> str:
        return _RESIDUAL


class PretrainedMethod(TokenizerMethod):
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is faster where there are matrix units for it, and changes codes."""


class CodecMethod(PretrainedMethod):
    n_layers: PositiveInt | None = None
    """Use the first so many layers; by default all."""

    @property
    def planned_n_layers(self) -> int | None:
        return self.n_layers

    @property
    def about_layers(self) -> str:
        return _RESIDUAL


class SpeechTokenizerMethod(CodecMethod):
    method: Literal["speechtokenizer"]
    """The paper's codec, from the two files that its authors publish."""
    checkpoint: str
    """The official checkpoint file."""
    config: str
    """The config.json published with the checkpoint."""

    def files(self) -> dict[str, str]:
        return {"checkpoint": self.checkpoint, "config": self.config}


class FromHub(PretrainedMethod):
    model: str | None = None
    """Hub id or local directory; by default the usual one."""
    revision: str | None = None
    """Commit of the model on the hub."""

    def files(self) -> dict[str, str]:
        return files_of_model("model", self.model) if self.model else {}


class TransformersCodecMethod(FromHub, CodecMethod):
    method: Literal["encodec", "mimi", "dac", "xcodec"]
    """A neural codec that transformers runs."""


class SSLUnitsMethod(FromHub):
    method: Literal["ssl_units"]
    """Hidden states of a speech model, clustered on the training clips."""
    layer: Annotated[int, Field(ge=0)] = 9
    """Whose hidden states to quantise, as transformers numbers them: 0 is the input embedding."""
    codebook_size: Annotated[int, Field(ge=2, le=32768)] = 500
    """Number of units."""
    max_frames: PositiveInt = 100_000
    """Frames drawn from the training clips to learn the units."""
    seed: Seed = 1
    """Draws training frames and first centroids."""

    @property
    def planned_n_layers(self) -> int:
        return 1

    @property
    def about_layers(self) -> str:
        return (
            f"Its one layer has {self.codebook_size} codes, clusters of the hidden states of the "
            f"model's layer {self.layer}."
        )


class HiddenStateCodesMethod(TokenizerMethod):
    method: Literal["hidden_state_codes"]
    """Hidden states of the `encoder`, as codes learned on the training clips."""
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), ORDERED_NUMBERS] = [2]
    """Whose hidden states, among those that the encoder keeps; several stand side by side."""
    pooling: Literal["frame", "segment", "utterance"] = "utterance"
    """Codes of each frame, or of the mean and the spread over each segment, or over the whole
    utterance."""
    segment_seconds: PositiveFloat = 0.5
    """Length of a segment."""
    n_components: PositiveInt = 64
    """Principal components that are quantised, a multiple of n_groups."""
    n_groups: Annotated[int, Field(ge=1, le=256)] = 64
    """Groups of components; each has a codebook and so a code in every frame."""
    n_stages: Annotated[int, Field(ge=1, le=8)] = 1
    """Codebooks of a group, each for what those before left over."""
    codebook_size: Annotated[int, Field(ge=2, le=32768)] = 4
    """Codes of each codebook."""
    max_frames: PositiveInt = 100_000
    """Frames, or pooled ones, drawn from the training clips to learn from."""
    seed: Seed = 1
    """Draws training frames and first centroids."""

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        if self.n_components % self.n_groups:
            raise ValueError(
                f"n_components: {self.n_components} is no multiple of n_groups: {self.n_groups}"
            )
        return self

    def as_read(self) -> Self:
        return self if self.pooling == "segment" else self.with_defaults("segment_seconds")

    @property
    def planned_n_layers(self) -> int:
        return self.n_groups * self.n_stages

    @property
    def about_layers(self) -> str:
        pooled = {
            "frame": "of each frame",
            "segment": f"pooled over {self.segment_seconds:g} s",
            "utterance": "pooled over the utterance",
        }[self.pooling]
        size = self.n_components // self.n_groups
        group = f"a group of {size}" if size > 1 else "one"
        stage = ", or what the layer before left over of it" if self.n_stages > 1 else ""
        return (
            f"Its {self.planned_n_layers} layers are not the encoder's: each is {group} of "
            f"{self.n_components} principal components of the hidden states of the encoder's layer "
            f"{' and '.join(map(str, self.layers))}, {pooled}{stage}, in {self.codebook_size} "
            "codes."
        )

    @property
    def pooling_seconds(self) -> float:
        """0 for frames, infinity for the whole utterance."""
        return {"frame": 0.0, "segment": self.segment_seconds, "utterance": math.inf}[self.pooling]
