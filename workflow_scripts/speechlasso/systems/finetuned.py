"""What systems share that are fine-tuned: how a run goes, and what inner folds settle for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from speechlasso.evaluation.inner_folds import best_value, mean_scores, record, validation_rows
from speechlasso.files import write_csv
from speechlasso.language_model.classification import Settled
from speechlasso.language_model.finetuning import finetune
from speechlasso.training.processes import in_processes

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def finetune_language_model(
    examples: pd.DataFrame,
    inputs: Files,
    settings: Any,
    folder: Path,
    threads: int,
    **options: Any,
) -> dict[str, Any]:
    """Fine-tune on examples in as many processes as the settings say; what training.json says.

    Parameters
    ----------
    examples, options
        As `finetuning.finetune` takes them.
    inputs, settings, folder, threads
        As `SystemCard` says.
    """
    criterion, inner_scores = settings.criterion, mean_scores(inputs, settings.criterion)
    work = partial(
        finetune,
        examples,
        folder,
        lm=settings.lm,
        settings=settings.finetune,
        criterion=criterion,
        seed=settings.seed,
        threads=threads,
        settled=settled_by_inner_folds(examples, inputs, settings, inner_scores),
        **options,
    )
    result = in_processes(settings.finetune.processes, work)
    write_csv(folder / "training_log.csv", result.log)
    return result.told() | record(criterion, inner_scores or result.validation)


def settled_by_inner_folds(
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
