"""The method: a language model learns the kept audio tokens, then the task.

Source: arXiv 2512.07571.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from speechlasso.section import INPUTS, ordered
from speechlasso.systems.settings import (
    FINETUNE_SWEEPS,
    Reads,
    System,
    SystemOfTokens,
    reads_to_finetune,
)


class TokenLM(SystemOfTokens):
    sweeps = FINETUNE_SWEEPS
    has_schedule = True

    system: Literal["token_lm"]
    """Fine-tune the language model (`lm`, `finetune`) on words and kept audio tokens."""
    adapt: bool = True
    """Adapt the LM to the new tokens before fine-tuning."""
    predict_inputs: (
        Annotated[list[Literal[INPUTS]], Field(min_length=1), ordered(INPUTS)] | None
    ) = None
    """What the fine-tuned model is given to predict from, of its `inputs`; by default all. [text]
    asks what it makes of words alone; it shares the training with the arm that hears."""

    @model_validator(mode="after")
    def _predicts_from_its_inputs(self) -> Self:
        if unread := sorted({*(self.predict_inputs or ())} - {*self.inputs}):
            raise ValueError(
                f"predict_inputs: the arm does not learn from {unread[0]}; name it in inputs, too"
            )
        return self

    def as_read(self) -> Self:
        # The adapted rows are upstream, and predictions a stage of their own.
        return super().as_read().with_defaults("adapt", "predict_inputs")

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
        if schedule := self.schedule_read(settings):
            upstream["examples"] = artifacts.examples(schedule)
        return reads_to_finetune(self.with_defaults("predict_inputs"), artifacts, upstream, lm)

    def predicts_from(self, artifacts: Any) -> dict[str, Any]:
        if self.predict_inputs is None:
            return {}
        return {"token_texts": artifacts.token_texts(self.predict_inputs, self.select)}

    def predicts_by(self, arms: Mapping[str, System]) -> set[str]:
        return set(self.predict_inputs or self.inputs)
