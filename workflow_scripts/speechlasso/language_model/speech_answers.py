"""Teach a frozen causal language model to hear, then to answer a question with the right label.

Stages as in `speech_curriculum`, all within the model's chat template: the speech stands in the
user's turn, before a request; the transcript, and then the label's name, is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.features.frame_files import FramesById
from speechlasso.language_model.answer_training import answer_reading
from speechlasso.language_model.chat_prompt import in_chat
from speechlasso.language_model.classification import Settled, learned_classes
from speechlasso.language_model.label_choice import Answers
from speechlasso.language_model.pretrained import load_model, load_tokenizer, objective
from speechlasso.language_model.prompt_encoding import SPEECH, WORDS
from speechlasso.language_model.settings import Finetune, LanguageModel, Transcription
from speechlasso.language_model.speech_curriculum import (
    SpeechFinetuning,
    Stages,
    new_reader,
    with_updates,
)
from speechlasso.language_model.speech_reader import SpeechReader, encoded_with_speech
from speechlasso.language_model.transcription import transcription_task
from speechlasso.training.devices import computing
from speechlasso.training.loop import Task

TRANSCRIBE = "Write down what was said."


def learn_to_answer(
    examples: pd.DataFrame,
    frames: FramesById,
    model_folder: Path,
    *,
    lm: LanguageModel,
    reduction: int,
    question: Callable[[list[str]], str],
    learns_task: bool,
    transcription: Transcription,
    settings: Finetune,
    criterion: Criterion,
    seed: int,
    threads: int = 1,
    settled: Settled | None = None,
) -> SpeechFinetuning:
    """Learn to transcribe the training rows and, if asked to, their labels; save the model.

    Without the task no label of theirs is looked at, beyond which ones there are.

    Parameters
    ----------
    examples, frames, settings, criterion, model_folder, seed, threads, settled
        As of `speech_finetuning.finetune_with_speech`; the same is returned.
    question
        About some labels; `WORDS` in it becomes an example's words.

    Raises
    ------
    InputError
        If the model cannot be loaded, is no causal one or has no chat template, a split has no
        rows, or none can be transcribed.
    """
    stages = Stages(lm, settings, criterion, seed, settled, model_folder)
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, settings, settled)
    _require_causal(lm)
    with computing(threads, seed):
        tokenizer = load_tokenizer(lm)
        model = load_model(lm, AutoModelForCausalLM, seed=seed).model
        model.config.id2label = dict(enumerate(classes))
        model.config.pad_token_id = tokenizer.pad_token_id
        model.requires_grad_(False)
        reader = new_reader(examples, frames, model, reduction)
        transcribing = _transcription(examples, reader, tokenizer, transcription, stages)
        answers = Answers.of(tokenizer, classes)
        prompt = question(classes)
        encoded = encoded_question(examples, reader, tokenizer, answers, prompt, lm.max_length)
        encoded["class_index"] = encoded["label"].map(classes.index)
        reading = answer_reading(reader, answers, settings)
        updated = with_updates(model, reader, transcribing, transcription, stages)
        return stages.finish(reader, updated, tokenizer, encoded, classes, reading, learns_task)


def encoded_question(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    answers: Answers,
    prompt: str,
    longest: int,
) -> pd.DataFrame:
    """The question about each example, so long that any answer still has room."""
    asked = in_chat(tokenizer, f"{SPEECH}\n{prompt}")
    return encoded_with_speech(examples, reader, tokenizer, longest - answers.longest, asked)


def _require_causal(lm: LanguageModel) -> None:
    if objective(lm) == "masked":
        raise InputError(
            f"lm.name: {lm.name!r} is a masked language model, which gives no answers; name a "
            "causal one that was tuned to follow instructions, such as "
            "HuggingFaceTB/SmolLM2-135M-Instruct"
        )


def _transcription(
    examples: pd.DataFrame,
    reader: SpeechReader,
    tokenizer: PreTrainedTokenizerBase,
    transcription: Transcription,
    stages: Stages,
) -> Task:
    rows = examples[examples["split"] == "train"]
    asked = in_chat(tokenizer, f"{SPEECH}\n{TRANSCRIBE}") + WORDS
    return transcription_task(
        encoded_with_speech(rows, reader, tokenizer, stages.lm.max_length, asked),
        reader,
        tokenizer,
        "causal",
        mask_probability=transcription.mask_probability,
        batch_size=stages.settings.batch_size,
        seed=stages.seed,
    )
