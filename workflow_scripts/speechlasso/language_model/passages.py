"""What new tokens are learned from: sequences of token ids, and what in them is to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from speechlasso.language_model.loss import IGNORED


@dataclass(frozen=True)
class TokenSequence:
    """What a language model reads and, in it, what it has to predict."""

    ids: np.ndarray
    """int64."""
    n_given: int = 1
    """A causal model predicts the tokens after the first so many."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def next_tokens(self) -> np.ndarray:
        """At each place the token that follows, `IGNORED` where it is given or there is none."""
        labels = np.append(self.ids[1:], IGNORED)
        labels[: self.n_given - 1] = IGNORED
        return labels


@dataclass(frozen=True)
class Contest:
    """Two replies to an instruction and an utterance, all in token ids."""

    kind: str
    """Of the instruction."""
    with_speech: np.ndarray
    """The prompt with audio tokens."""
    with_transcript: np.ndarray
    """The prompt with the words in their place."""
    to_instruction: np.ndarray
    """The answer to the instruction."""
    to_speech: np.ndarray
    """The reply to the transcript, as if it were the instruction."""

    @property
    def length(self) -> int:
        """Of the longest sequence, in tokens."""
        prompts, replies = ("with_speech", "with_transcript"), ("to_instruction", "to_speech")
        return sum(max(len(getattr(self, name)) for name in names) for names in (prompts, replies))

    @property
    def is_open(self) -> bool:
        """Whether the replies differ."""
        return not np.array_equal(self.to_instruction, self.to_speech)


@dataclass(frozen=True)
class Passages:
    """All that new tokens are learned from."""

    sequences: list[TokenSequence]
    held_out: np.ndarray | None = None
    """bool (n,): which are kept out to measure the loss; None where these are still to be drawn."""
    contests: list[Contest] = field(default_factory=list)
    """What the speech anchor bias is measured by."""

    def where(self, keep: Sequence[bool]) -> Passages:
        """Those of some sequences, for each of which there is a bool."""
        sequences = [sequence for sequence, kept in zip(self.sequences, keep, strict=True) if kept]
        held_out = None if self.held_out is None else self.held_out[np.asarray(keep, dtype=bool)]
        return replace(self, sequences=sequences, held_out=held_out)
