"""Fit the system `late_fusion`, and open what was fitted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.inner_folds import validation_rows
from speechlasso.evaluation.scores import SIZES, predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.files import read_json, write_json

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

MODEL = "weights.json"
N_STEPS = 20
"""Weights are multiples of one by this many."""


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Choose the weights on the validation rows, or on those of all inner folds; the fused arms
    learned from the training rows."""
    roles, criterion = settings.arm.arms, settings.criterion
    of_inner_folds = [validation_rows(inputs, role) for role in roles]
    has_inner_folds = of_inner_folds[0] is not None
    predictions = (
        ArmPredictions.of(of_inner_folds) if has_inner_folds else ArmPredictions.read(inputs, roles)
    )
    weights, score = best_weights(predictions, criterion)
    of_arms = dict(zip(roles, weights.tolist(), strict=True))
    write_json(folder / MODEL, of_arms)
    return {
        "weights": of_arms,
        f"validation_{criterion.metric}": score,
        "trainable_parameters": len(of_arms),
    }


def open(folder: Path) -> FittedFusion:
    return FittedFusion(read_json(folder / MODEL))


@dataclass(frozen=True)
class ArmPredictions:
    """What several arms predict of the same utterances.

    Attributes
    ----------
    rows
        id, split and label of each utterance, as the first arm has them.
    classes
        Names of all classes, sorted.
    probabilities
        (n_arms, n_utterances, n_classes); 0 for a class that an arm does not know.
    sizes
        n_text_tokens, n_audio_tokens and cut of each utterance: those of the arm that read the
        most, and whether any arm lost a part of it.
    """

    rows: pd.DataFrame
    classes: list[str]
    probabilities: np.ndarray
    sizes: pd.DataFrame

    @classmethod
    def read(cls, inputs: Files, roles: list[str]) -> ArmPredictions:
        return cls.of([pd.read_parquet(inputs[role][0]) for role in roles])

    @classmethod
    def of(cls, predictions: list[pd.DataFrame]) -> ArmPredictions:
        """Aligned by the utterances' ids and the classes' names.

        Parameters
        ----------
        predictions
            Of each arm, as `evaluation.scores.predictions_frame` makes them.

        Raises
        ------
        InputError
            Listing the utterances that not all arms predict.
        """
        by_id = [frame.set_index("id") for frame in predictions]
        ids = by_id[0].index
        odd = {name for frame in by_id for name in ids.symmetric_difference(frame.index)}
        if odd:
            raise InputError.listing(
                "Not all of the fused arms predict these utterances:", sorted(map(str, odd))
            )
        by_id = [frame.loc[ids] for frame in by_id]
        columns = sorted({name for frame in by_id for name in frame if name.startswith("p_")})
        probabilities = [frame.reindex(columns=columns, fill_value=0.0) for frame in by_id]
        return cls(
            by_id[0][["split", "label"]].reset_index(),
            [name.removeprefix("p_") for name in columns],
            np.stack([frame.to_numpy() for frame in probabilities]),
            pd.DataFrame({name: np.max([f[name] for f in by_id], axis=0) for name in SIZES}),
        )

    def fused(self, weights: np.ndarray) -> np.ndarray:
        """Weighted mean of the arms' probabilities, (n_utterances, n_classes)."""
        return np.tensordot(weights, self.probabilities, axes=1)


@dataclass(frozen=True)
class FittedFusion:
    weights: dict[str, float]
    """Of each role; they sum to one."""

    def predict(self, inputs: Files, threads: int = 1) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it; the likeliest class is predicted,
        whatever threshold an arm decides by."""
        read = ArmPredictions.read(inputs, list(self.weights))
        fused = read.fused(np.array(list(self.weights.values())))
        return predictions_frame(read.rows, fused, read.classes, **read.sizes)


def best_weights(predictions: ArmPredictions, criterion: Criterion) -> tuple[np.ndarray, float]:
    """The weights that score best on the validation rows, and their score.

    Of equal scores those closest to a plain mean win.
    """
    is_validation = (predictions.rows["split"] == "validation").to_numpy()
    labels = np.searchsorted(predictions.classes, predictions.rows["label"][is_validation])
    of_arms = predictions.probabilities[:, is_validation]
    grid = weight_grid(len(of_arms))
    scores = [
        criterion.score(labels, np.tensordot(weights, of_arms, axes=1), predictions.classes)
        for weights in grid
    ]
    best = int(np.argmax(criterion.utility(np.array(scores))))
    return grid[best], scores[best]


def weight_grid(n_arms: int) -> np.ndarray:
    """All weights that are multiples of 1 / `N_STEPS` and sum to one, the most equal ones first.

    Returns
    -------
    numpy.ndarray
        (n_weightings, n_arms): 21 weightings of two arms, 231 of three, 53,130 of six.
    """
    # Stars and bars: the gap between two bars is an arm's number of steps.
    n_places = N_STEPS + n_arms - 1
    bars = np.array(list(itertools.combinations(range(n_places), n_arms - 1)))
    steps = np.diff(bars, axis=1, prepend=-1, append=n_places) - 1
    return steps[np.argsort((steps**2).sum(axis=1), kind="stable")] / N_STEPS
