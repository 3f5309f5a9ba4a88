"""Speech anchor bias: whether a model takes speech for the instruction and neglects the text.

Source of the term: Self-Powered LSM (EMNLP 2024, 10.18653/v1/2024.emnlp-main.690). It is measured
here without generating anything: a model follows the speech where, after an instruction and the
speech, it finds the reply to the transcript alone more likely than the answer to the instruction.
Both were made from text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from speechlasso.language_model.instructions import UNRELATED
from speechlasso.language_model.loss import language_model_loss
from speechlasso.language_model.new_row_training import NewRows
from speechlasso.language_model.passages import Contest, TokenSequence
from speechlasso.training.devices import Precision, autocast


class AnchorBias:
    """Counts how often a model follows the speech.

    Parameters
    ----------
    rows
        Of this model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rows: NewRows,
        contests: Sequence[Contest],
        precision: Precision,
    ) -> None:
        self.model, self.rows, self.contests = model, rows, contests
        self.precision = precision

    def follows(self, prompt: str = "with_speech") -> list[bool]:
        """For each contest, with one of its prompts, whether the reply to the speech wins."""
        return [
            self.mean_log_likelihood(getattr(contest, prompt), contest.to_speech)
            > self.mean_log_likelihood(getattr(contest, prompt), contest.to_instruction)
            for contest in self.contests
        ]

    @torch.no_grad()
    def mean_log_likelihood(self, prompt: np.ndarray, reply: np.ndarray) -> float:
        """Of a reply's tokens after a prompt, in nats; one sequence at a time, so that no padding
        is in the way."""
        sequence = TokenSequence(np.concatenate([prompt, reply]), n_given=len(prompt))
        device = self.model.device
        batch = {"input_ids": sequence.ids, "labels": sequence.next_tokens}
        batch = {name: torch.from_numpy(ids)[None].to(device) for name, ids in batch.items()}
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        self.model.eval()
        with autocast(self.precision, device):
            return -language_model_loss(self.model, self.rows, batch).item() / len(reply)


def bias_table(
    contests: Sequence[Contest],
    before: Sequence[bool],
    after: Sequence[bool],
    with_transcript: Sequence[bool],
) -> list[dict[str, Any]]:
    """Rows by kind of instruction: its group ("about the speech" or "unrelated"), the number of
    contests, and in how many of them the speech was followed before and after adaptation and, for
    comparison, the transcript in its place."""
    kinds = [contest.kind for contest in contests]
    counted = {"before": before, "after": after, "with_transcript": with_transcript}
    return [
        {
            "group": "unrelated" if kind == UNRELATED else "about the speech",
            "kind": kind,
            "n_pairs": kinds.count(kind),
            **{
                name: sum(is_so for of, is_so in zip(kinds, found, strict=True) if of == kind)
                for name, found in counted.items()
            },
        }
        for kind in dict.fromkeys(kinds)
    ]
