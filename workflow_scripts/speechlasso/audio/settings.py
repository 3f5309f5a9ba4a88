"""Settings of the audio: what becomes of clips that cannot be used."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    PositiveInt,
)

from speechlasso.section import HOW_ONLY, Section, Share


class Audio(Section):
    on_bad: Literal["error", "skip"] = "error"
    """What to do with a clip that cannot be used: stop, or drop its utterance and list it."""
    max_bad_share: Annotated[Share, HOW_ONLY] = 0.05
    """With on_bad: skip, stop after all if more than this share of the utterances is dropped."""
    shard_size: Annotated[PositiveInt, HOW_ONLY] = 500
    """Utterances tokenised by one job; smaller shards spread over more cores. Codes
    that are complete keep their division."""

    def as_read(self, has_audio: bool) -> Self:
        return self if has_audio else self.with_defaults("on_bad")
