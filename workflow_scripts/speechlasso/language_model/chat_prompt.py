"""Prompts as a language model's chat template has them, in token ids.

What was said is never read as anything but words, whatever it spells: its ids are put between those
of the template's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechlasso.errors import InputError
from speechlasso.hub import readable_errors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACE = "[[content]]"


def in_chat(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    """A user's turn as the model's chat template writes it, up to where the answer begins.

    Raises
    ------
    InputError
        If the model has no chat template, or one that cannot be filled in.
    """
    if not tokenizer.chat_template:
        raise InputError(
            f"lm.name: {tokenizer.name_or_path!r} has no chat template; choose a model that was "
            "tuned to follow instructions, such as HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    turns = [{"role": "user", "content": content}]
    with readable_errors("lm.name", tokenizer.name_or_path):
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


class ChatPrompts:
    """The user's messages and how a reply ends, by a tokenizer's chat template.

    Attributes
    ----------
    end_id
        The token that ends a reply.

    Raises
    ------
    InputError
        If there is no chat template, or it does not show the user's message once.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._around: dict[str, tuple[list[int], list[int]]] = {}
        in_chat(tokenizer, "a")  # sees that there is a template
        reply = [{"role": "user", "content": "a"}, {"role": "assistant", "content": PLACE}]
        _, after = self._around_place(tokenizer.apply_chat_template(reply, tokenize=False))
        special = set(tokenizer.all_special_ids) | {
            id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        ends = [id_ for id_ in self._ids(after) if id_ in special]
        self.end_id = ends[0] if ends else tokenizer.eos_token_id

    def prompt(self, instruction: str, content: Sequence[int] = ()) -> np.ndarray:
        """Ids, int64, up to where the reply begins.

        Parameters
        ----------
        instruction
            Stands in a line of its own before the content; "" for the content alone.
        content
            Ids of words or of audio tokens with their markers; with none, the instruction is all.
        """
        if not len(content):
            return np.array(self._ids(in_chat(self.tokenizer, instruction)))
        if instruction not in self._around:
            text = f"{instruction}\n{PLACE}" if instruction else PLACE
            around = self._around_place(in_chat(self.tokenizer, text))
            self._around[instruction] = tuple(map(self._ids, around))
        before, after = self._around[instruction]
        return np.concatenate([before, content, after]).astype(np.int64)

    def _around_place(self, rendered: str) -> tuple[str, str]:
        """What stands before and after the content."""
        parts = rendered.split(PLACE)
        if len(parts) != 2:
            raise InputError(
                f"lm.name: the chat template of {self.tokenizer.name_or_path!r} shows a message "
                f"{len(parts) - 1} times, where once is expected; choose another model"
            )
        return parts[0], parts[1]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]
