"""What inner folds settle for a system that is fine-tuned on rows without any to validate on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from speechlasso.evaluation.inner_folds import best_value, validation_rows
from speechlasso.language_model.classification import Settled

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


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
