"""The method: a language model learns the kept audio tokens, then the task.

Source: arXiv 2512.07571.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from speechlasso.systems.settings import Reads, SystemOfTokens


class TokenLM(SystemOfTokens):
    sweeps = (("finetune", "learning_rate"), ("finetune", "lora", "rank"))

    system: Literal["token_lm"]
    """Fine-tune the language model (`lm`, `finetune`) on words and kept audio tokens."""
    adapt: bool = True
    """Adapt the LM to the new tokens before fine-tuning."""

    def as_read(self) -> Self:
        # The adapted rows are upstream.
        return super().as_read().with_defaults("adapt")

    def reads(self, artifacts: Any) -> Reads:
        settings = artifacts.settings
        lm = settings.lm.as_read(
            # Adapted rows have started already.
            has_new_rows=self.reads_audio and not self.adapt,
            has_codebook=artifacts.learns_codes,
        )
        upstream = artifacts.of_token_texts(self.inputs, self.select)
        if self.reads_audio and self.adapt:
            upstream["adapt"] = artifacts.adaptation(self.inputs, self.select)
        elif self.reads_audio and lm.new_rows == "codebook":
            upstream["centroids"] = artifacts.centroids()
        if len(self.inputs) == 2 and settings.finetune.schedule:
            upstream["examples"] = artifacts.examples(settings.finetune.schedule)
        return Reads(
            upstream | artifacts.choosing(self, settings.finetune),
            sections={
                "lm": lm,
                "finetune": self.finetune_as_read(settings.finetune),
            },
            chooses=settings.finetune.chooses,
            positive_label=True,  # whose threshold may be tuned
        )
