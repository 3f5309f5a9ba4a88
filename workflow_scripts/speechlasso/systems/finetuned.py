"""What systems share that are fine-tuned: how a run goes, and what inner folds settle for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from speechlasso.evaluation.inner_folds import best_value, mean_scores, validation_rows
from speechlasso.files import write_csv
from speechlasso.language_model.classification import FinetuneResult, Settled
from speechlasso.training.processes import in_processes

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def learn_task(
    learn: Callable[..., FinetuneResult],
    examples: pd.DataFrame,
    inputs: Files,
    settings: Any,
    folder: Path,
    threads: int,
    **options: Any,
) -> FinetuneResult:
    """Learn from examples in as many processes as the settings say, and write the log.

    Parameters
    ----------
    learn
        Takes what `finetuning.finetune` takes, and options of its own; saves what it learned.
    inputs, settings, folder, threads
        As `SystemCard` says.

    Returns
    -------
    FinetuneResult
        With the scores that chose, be they of inner folds.
    """
    inner_scores = mean_scores(inputs, settings.criterion)
    work = partial(
        learn,
        examples,
        model_folder=folder,
        settings=settings.finetune,
        criterion=settings.criterion,
        seed=settings.seed or 0,  # what draws nothing has none
        threads=threads,
        settled=_settled(examples, inputs, settings, inner_scores),
        **options,
    )
    result = in_processes(settings.finetune.processes, work)
    write_csv(folder / "training_log.csv", result.log)
    return replace(result, validation=inner_scores or result.validation)


def _settled(
    examples: pd.DataFrame, inputs: Files, settings: Any, inner_scores: Mapping[float, float]
) -> Settled | None:
    """None where validation rows choose.

    Otherwise training stops after the epoch with the best mean validation score over the inner
    folds, of the epochs that all their trainings have reached before their patience ended.

    Parameters
    ----------
    settings
        A `pipeline.stages.Training`.
    inner_scores
        As `inner_folds.mean_scores` returns them; empty where there is one epoch only.
    """
    if (examples["split"] == "validation").any():
        return None
    only = settings.finetune.epochs
    epochs = best_value(inner_scores, settings.criterion) if inner_scores else only
    return Settled(epochs, validation_rows(inputs))
