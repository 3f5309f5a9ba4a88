"""What an arm scores when the probabilities of its seeds are averaged.

Fine-tunings that differ in their seed alone disagree where the data are few. The mean of their
probabilities is steadier than any of them (deep ensembles: Lakshminarayanan et al., arXiv
1612.01474, section 2.4), at the price of training and running them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from speechlasso.errors import InputError
from speechlasso.evaluation.bootstrap import TestRows
from speechlasso.evaluation.decision import Threshold, decide, mean_threshold
from speechlasso.evaluation.run_predictions import (
    decision_threshold,
    groups_of_rows,
    make_test_rows,
    positive_label,
    read_inner_validation,
    read_predictions,
)
from speechlasso.evaluation.scores import evaluate


def with_seeds_averaged(
    index: pd.DataFrame, arm: str, root: Path, more_metrics: Iterable[str] = ()
) -> tuple[pd.DataFrame, dict[tuple[str, str, str], TestRows]]:
    """Scores of an arm's averaged probabilities in each fold.

    Parameters
    ----------
    index
        The folders of each run, as index.tsv has them.
    root
        What these folders start from.
    more_metrics
        Metrics from outside this project.

    Returns
    -------
    runs
        Rows like those of `summary.runs_table`, one per fold and split; the arm is called
        `ARM, seeds averaged` and its seed `all`.
    test_rows
        What was predicted, as `run_predictions.read_test_rows` returns it.

    Raises
    ------
    InputError
        If the index has no such arm, or predictions are not there any more.
    """
    of_arm = index[index["arm"] == arm]
    if of_arm.empty:
        raise InputError(f"{arm!r} has no runs of its own; average those that it is chosen from")
    name, rows, test_rows = f"{arm}, seeds averaged", [], {}
    for fold, of_fold in of_arm.groupby("fold", sort=False):
        runs = of_fold.to_dict("records")
        thresholds = [decision_threshold(run, root) for run in runs]
        predictions = averaged([read_predictions(run, root) for run in runs], thresholds)
        inner = [read_inner_validation(run, root) for run in runs]
        if inner[0] is not None:
            predictions = pd.concat([predictions, averaged(inner, thresholds)])
        positive = positive_label(runs[0], root)
        for split, scores in evaluate(predictions, positive, more_metrics)["splits"].items():
            rows.append({"arm": name, "fold": fold, "seed": "all", "split": split, **scores})
        groups = groups_of_rows(runs[0], root)
        test_rows[name, str(fold), "all"] = make_test_rows(predictions, groups, positive)
    return pd.DataFrame(rows), test_rows


def averaged(
    predictions: Sequence[pd.DataFrame], thresholds: Sequence[Threshold | None]
) -> pd.DataFrame:
    """The mean of several models' probabilities, and what is decided by it.

    Parameters
    ----------
    predictions
        As `evaluation.predictions_frame` makes them, of the same utterances. A single one is left
        as it is.
    thresholds
        What each model decided by; the mean of them decides (`decision.mean_threshold`).

    Returns
    -------
    pandas.DataFrame
        Like the first of them.

    Raises
    ------
    InputError
        If they are of different classes.
    """
    first, *others = (frame.set_index("id") for frame in predictions)
    if not others:
        return predictions[0]
    columns = [name for name in first if name.startswith("p_")]
    classes = np.array([name[2:] for name in columns])
    for other in others:
        if {name[2:] for name in other if name.startswith("p_")} != set(classes):
            raise InputError(
                "models of different classes cannot be averaged; name those of one arm"
            )
    aligned = [frame.loc[first.index, columns].to_numpy() for frame in (first, *others)]
    mean = np.mean(aligned, axis=0)
    first[columns] = mean
    decided = decide(mean, classes, mean_threshold(thresholds))
    return first.assign(predicted=classes[decided]).reset_index()
