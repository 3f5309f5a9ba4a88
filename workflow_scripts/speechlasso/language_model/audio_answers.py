"""Ask a whole audio language model which label fits, as it is or after low-rank updates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from transformers import ProcessorMixin

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.answer_training import answer_reading
from speechlasso.language_model.audio_language_model import (
    AudioReader,
    load_audio_model,
    load_processor,
)
from speechlasso.language_model.classification import (
    FinetuneResult,
    Settled,
    chosen_threshold,
    classification_task,
    learned_classes,
    scores_of_epochs,
    training_lengths,
)
from speechlasso.language_model.label_choice import Answers
from speechlasso.language_model.lora import updates_of, with_lora
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.training.devices import computing, n_trainable
from speechlasso.training.loop import train
from speechlasso.training.processes import save_tensors
from speechlasso.training.settings import CHECKPOINT

LOGGED = ["epoch", "train_loss", "seconds", "best"]
"""Of a training without validation, and so of none."""
UPDATES = "updates.safetensors"
"""The file of the low-rank updates of the model's weights; there are none without training."""


@dataclass(frozen=True)
class Heard:
    """The clips of utterances, as `AudioReader` takes them."""

    utterances: pd.DataFrame
    clips: RecordedClips

    def reader(self, model: torch.nn.Module, processor: ProcessorMixin) -> AudioReader:
        return AudioReader(model, processor, self.utterances, self.clips)


def learn_to_answer(
    examples: pd.DataFrame,
    heard: Heard,
    model_folder: Path,
    *,
    lm: LanguageModel,
    model_class: str,
    question: Callable[[list[str]], str],
    learns_task: bool,
    settings: Finetune,
    criterion: Criterion,
    seed: int,
    threads: int = 1,
    settled: Settled | None = None,
) -> FinetuneResult:
    """Learn to answer with the labels of the training rows, if asked to; keep the best epoch.

    Without the task no label of theirs is looked at, beyond which ones there are.

    Parameters
    ----------
    examples
        Columns `id`, `label`, `split` and `text`; test rows are not looked at.
    model_folder
        Gets checkpoints, and then `UPDATES`.
    model_class
        Name of one of transformers' classes.
    question
        About some labels; `prompt_encoding.WORDS` in it becomes an example's words.
    settings, criterion, seed, threads, settled
        As of `finetuning.finetune`.

    Raises
    ------
    InputError
        If the model cannot be loaded, a clip is not what it was, or a split has no rows.
    """
    started = time.perf_counter()
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, settings, settled)
    with computing(threads, seed):
        model, processor = load_audio_model(lm, model_class), load_processor(lm)
        reader = heard.reader(model, processor)
        answers = Answers.of(processor.tokenizer, classes)
        encoded = reader.encoded_with_sound(examples, question(classes))
        encoded["class_index"] = encoded["label"].map(classes.index)
        reading = answer_reading(reader, answers, settings)
        log, scores, updates = pd.DataFrame(columns=LOGGED), {}, {}
        if learns_task:
            options = (reading, settings, criterion, seed, settled)
            task = classification_task(encoded, classes, *options)
            updated = with_lora(model, settings.lora, part=model.get_decoder())
            log = train(
                reader,
                task,
                settings,
                weight_decay=settings.weight_decay,
                precision=lm.precision,
                seed=seed,
                checkpoint_folder=model_folder / CHECKPOINT,
                title="finetune",
            )
            scores, updates = scores_of_epochs(log, task), updates_of(updated)
        n_learned = n_trainable(reader)
        threshold = chosen_threshold(encoded, classes, reading, settings, criterion, settled)
        save_tensors(updates, model_folder / UPDATES)
    costs = (started, n_learned, training_lengths(encoded))
    return FinetuneResult.measured(*costs, log, scores, classes, threshold)
