"""Settings of the arms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
)

from speechlasso.section import INPUTS, Section, ordered


class Arm(Section):
    inputs: Annotated[list[Literal[INPUTS]], Field(min_length=1), ordered(INPUTS)] = [*INPUTS]
    """What the classifier reads."""
    select: str | None = None
    """Which selection under `select` gives the audio tokens."""
    adapt: bool = True
    """Adapt the LM to the new tokens before fine-tuning."""
    classifier: Literal["lm", "linear"] = "lm"
    """Fine-tune the LM, or fit a logistic regression on the bag of words."""
    override: dict[str, Any] = {}
    """Settings of this arm alone, as sections: {lm: {...}, finetune: {...}, ...}."""

    @property
    def reads_audio(self) -> bool:
        return "audio" in self.inputs


def default_arms() -> dict[str, Arm]:
    return {
        "text_only": Arm(inputs=["text"]),
        "audio_only": Arm(inputs=["audio"], select="lasso"),
        "lasso": Arm(select="lasso"),
        "random": Arm(select="random"),
        "all_tokens": Arm(select="all"),
        "bow_linear": Arm(select="lasso", classifier="linear"),
        "bow_linear_all": Arm(select="all", classifier="linear"),
    }
