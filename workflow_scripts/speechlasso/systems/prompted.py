"""What systems have in common that ask a language model which label fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from speechlasso.language_model.settings import Finetune
from speechlasso.systems.settings import SystemOfInputs

QUESTION = (
    "Which of these fits best what was said and how it was said: {labels}? "
    "Answer with one of them and nothing else."
)
HEARD_AND_READ = "The words are: {text}\n" + QUESTION


class PromptedSystem(SystemOfInputs):
    """A system whose language model is asked in words, and whose answer is one of the labels."""

    training: Literal["zero_shot", "lora"] = "zero_shot"
    """zero_shot: no label of a training row is learned. lora: low-rank updates learn to answer with
    the label's name, as `finetune` says."""
    prompt: str | None = None
    """The question, after the speech: {labels} becomes the names of the labels, with commas, and
    {text} the words, where `inputs` has text. By default a plain one in English; names of labels
    should be words that say what they mean."""

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        if self.prompt is None:
            return self
        places = re.findall(r"\{([^{}]*)\}", self.prompt)
        needed = {"labels", "text"} if "text" in self.inputs else {"labels"}
        if unknown := sorted(set(places) - needed):
            raise ValueError(
                f"prompt: {{{unknown[0]}}} is not known here; of inputs: {self.inputs} it can have "
                f"{' and '.join(f'{{{name}}}' for name in sorted(needed))}"
            )
        if missing := sorted(needed - set(places)):
            raise ValueError(f"prompt: has no {{{missing[0]}}}, where it is to stand")
        return self

    def question(self, labels: Sequence[str], text: str) -> str:
        """The prompt about labels, with some text for the words."""
        usual = HEARD_AND_READ if "text" in self.inputs else QUESTION
        # The words last, which may spell anything.
        prompt = (self.prompt or usual).replace("{labels}", ", ".join(labels))
        return prompt.replace("{text}", text)

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        finetune = super().finetune_as_read(finetune)
        if self.training == "lora":
            return finetune
        # One epoch stands for none: nothing is chosen by a score on labels.
        unread = ("learning_rate", "patience", "class_weights", "focal_gamma")
        return finetune.with_defaults(*unread).model_copy(update={"epochs": 1})
