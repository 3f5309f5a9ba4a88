"""Prompts as a model that was tuned to follow instructions wants them."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from speechlasso.errors import InputError


def in_chat(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    """A user's turn as the model's chat template writes it, up to where the answer begins.

    Raises
    ------
    InputError
        If the model has no chat template.
    """
    if not tokenizer.chat_template:
        raise InputError(
            f"lm.name: {tokenizer.name_or_path!r} has no chat template; choose a model that was "
            "tuned to follow instructions, such as HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    turns = [{"role": "user", "content": content}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
