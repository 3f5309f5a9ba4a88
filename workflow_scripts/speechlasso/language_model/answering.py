"""A language model answers instructions about transcripts; nothing of the speech is read.

Source: Self-Powered LSM (EMNLP 2024, 10.18653/v1/2024.emnlp-main.690): what the model itself
answers about the words is what it then learns to answer about the speech.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.errors import InputError
from speechlasso.files import write_json
from speechlasso.language_model.chat_prompt import ChatPrompts
from speechlasso.language_model.encoding import PlainText
from speechlasso.language_model.instructions import UNRELATED, Instructions, questions
from speechlasso.language_model.pretrained import load_model, load_tokenizer, objective
from speechlasso.language_model.settings import LanguageModel, SelfPowered
from speechlasso.training.batching import length_sorted_batches, padded
from speechlasso.training.devices import autocast, computing, to_best_device

logger = logging.getLogger(__name__)


def answer_instructions(
    examples: pd.DataFrame,
    *,
    lm: LanguageModel,
    settings: SelfPowered,
    holdout: float,
    threads: int,
    checkpoint_folder: Path,
) -> pd.DataFrame:
    """What the language model answers about each transcript, the most likely token at a time.

    In float32 an answer does not depend on what is answered beside it.

    Parameters
    ----------
    examples
        id, split and text; rows with blank texts get no answer.
    holdout
        Share of the utterances that training will leave out.
    checkpoint_folder
        Gets the answers of each batch, from which a run that was stopped goes on.

    Returns
    -------
    pandas.DataFrame
        What `instructions.questions` returns; answer, and complete (bool): whether the model ended
        it, rather than `settings.max_new_tokens`.

    Raises
    ------
    InputError
        If the model answers no instructions, the file of instructions is wrong, or no prompt fits
        into `lm.max_length`.
    """
    tokenizer, chat = answering_tokenizer(lm)
    instructions = Instructions.read(settings.instructions)
    spoken = examples[examples["text"].fillna("").str.strip() != ""]
    if spoken.empty:
        raise InputError("adapt.objective: self_powered needs transcripts, but all are blank")
    asked = questions(spoken, instructions, settings, holdout)
    prompts = _prompts(asked, tokenizer, chat)
    fits = prompts.map(len) <= lm.max_length - settings.max_new_tokens
    logger.info(
        "%d utterances without words, and %d of %d prompts that leave no room for %d tokens within "
        "lm.max_length (%d) are left out",
        *(len(examples) - len(spoken), (~fits).sum(), len(asked)),
        *(settings.max_new_tokens, lm.max_length),
    )
    if not fits.any():
        raise InputError(
            f"lm.max_length: {lm.max_length} is too short for any prompt ({prompts.map(len).min()} "
            f"tokens or more) and an answer of {settings.max_new_tokens}; raise it, or lower "
            "adapt.self_powered.max_new_tokens"
        )
    asked, prompts = asked[fits], prompts[fits].map(tuple)
    distinct = [np.array(prompt) for prompt in dict.fromkeys(prompts)]
    with computing(threads, settings.seed):
        model = load_model(lm, AutoModelForCausalLM, seed=settings.seed, dropout=False).model
        answerer = _Answerer(model.eval(), tokenizer, chat, settings.max_new_tokens, lm.precision)
        answers = _answered(answerer, distinct, settings.batch_size, checkpoint_folder)
    found = dict(zip(map(tuple, distinct), answers, strict=True))
    columns = [[found[prompt][i] for prompt in prompts] for i in (0, 1)]
    return asked.assign(answer=columns[0], complete=columns[1]).reset_index(drop=True)


def answering_tokenizer(lm: LanguageModel) -> tuple[PreTrainedTokenizerBase, ChatPrompts]:
    """The tokenizer of a model that answers instructions, and its prompts.

    Raises
    ------
    InputError
        If the model is an encoder, or its tokenizer has no chat template.
    """
    if objective(lm) != "causal":
        raise InputError(
            f"lm.name: {lm.name!r} is an encoder, which cannot answer instructions; set "
            "adapt.objective to language_modelling, or name a causal model with a chat template, "
            "such as HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    tokenizer = load_tokenizer(lm)
    return tokenizer, ChatPrompts(tokenizer)


def _prompts(
    asked: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, chat: ChatPrompts
) -> pd.Series:
    words = PlainText(tokenizer).encode(list(asked["text"]), [False] * len(asked))
    prompts = [
        chat.prompt(row.instruction, () if row.kind == UNRELATED else ids)
        for row, ids in zip(asked.itertuples(index=False), words, strict=True)
    ]
    return pd.Series(prompts, index=asked.index)


def _answered(
    answerer: _Answerer, prompts: list[np.ndarray], batch_size: int, folder: Path
) -> list[tuple[str, bool]]:
    """Answers in the order of the prompts; those of batches that were done before are read."""
    found: dict[int, tuple[str, bool]] = {}
    batches = length_sorted_batches(np.array(list(map(len, prompts))), batch_size)
    for batch in tqdm(batches, desc="answer", unit="batch", mininterval=1):
        ids = [prompts[position] for position in batch]
        digest = hashlib.sha256(repr([list(map(int, prompt)) for prompt in ids]).encode())
        path = folder / f"{digest.hexdigest()[:16]}.json"
        answers = _answers_before(path)
        if answers is None:
            answers = answerer.answers(ids)
            write_json(path, {"answers": answers, "sha256": _digest(answers)})
        found |= zip(batch, map(tuple, answers), strict=True)
    return [found[position] for position in range(len(prompts))]


def _answers_before(path: Path) -> list[tuple[str, bool]] | None:
    """Those of a batch that was done before the job was stopped; None where there are no whole
    ones."""
    if not path.is_file():
        return None
    try:
        done = json.loads(path.read_bytes())
        if done["sha256"] == _digest(done["answers"]):
            return done["answers"]
    except (ValueError, TypeError, KeyError):
        pass
    logger.warning("%s is damaged: its prompts are answered again", path)
    return None


def _digest(answers: list[tuple[str, bool]]) -> str:
    return hashlib.sha256(json.dumps(answers).encode()).hexdigest()


class _Answerer:
    """Greedy decoding of a batch of prompts."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        chat: ChatPrompts,
        max_new_tokens: int,
        precision: str,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = to_best_device(model)
        self.context = autocast(precision, self.device)
        own = model.generation_config.eos_token_id
        own = own if isinstance(own, list) else [own]
        self.ends = sorted({chat.end_id, tokenizer.eos_token_id, *own} - {None})
        # What the model's own configuration says of sampling is not asked.
        self.config = GenerationConfig(
            do_sample=False,
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.ends,
            pad_token_id=tokenizer.pad_token_id,
        )

    @torch.no_grad()
    def answers(self, prompts: list[np.ndarray]) -> list[tuple[str, bool]]:
        """Each answer, and whether it came to its end."""
        # Padded on the left, so that all go on at the same place.
        backwards = [prompt[::-1] for prompt in prompts]
        ids = padded(backwards, self.tokenizer.pad_token_id).flip(1)
        mask = padded([np.ones_like(prompt) for prompt in prompts], 0).flip(1)
        with self.context:
            found = self.model.generate(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                generation_config=self.config,
            )
        return [self._answer(new) for new in found[:, ids.shape[1] :].tolist()]

    def _answer(self, ids: list[int]) -> tuple[str, bool]:
        end = next((place for place, id_ in enumerate(ids) if id_ in self.ends), None)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        # A cut may divide a letter of several bytes.
        return text.strip().rstrip("\ufffd"), end is not None
