"""The usual fusion: a fine-tuned text encoder and a speech encoder's pooled frames, one head."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from speechlasso.language_model.settings import Finetune
from speechlasso.section import ORDERED_NUMBERS
from speechlasso.systems.settings import FINETUNE_SWEEPS, Reads, System, reads_to_finetune


class TextSSL(System):
    sweeps = FINETUNE_SWEEPS
    reads_audio = True
    inputs: ClassVar[list[str]] = ["text", "audio"]

    system: Literal["text_ssl"]
    """The language model (`lm`, `finetune`) reads the words; the mean and the spread of the speech
    encoder's frames (`encoder`), projected, join it before the classification head."""
    layers: Annotated[
        list[Annotated[int, Field(ge=0)]] | None, Field(min_length=1), ORDERED_NUMBERS
    ] = None
    """Whose hidden states to pool, among those that the encoder keeps; by default all, side by
    side."""
    projection_size: PositiveInt = 64
    """Numbers that the pooled frames become."""

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        return finetune.as_read(reads_audio=False)  # no audio tokens

    def reads(self, artifacts: Any) -> Reads:
        upstream = {
            "token_texts": artifacts.token_texts(["text"], None),
            "frames": artifacts.frames("text_ssl's layers", self.layers),
        }
        lm = artifacts.settings.lm.as_read(has_new_rows=False)
        return reads_to_finetune(self, artifacts, upstream, lm)
