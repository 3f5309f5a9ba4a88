"""What an arm scores when its seeds decide together, by mean probability or by vote.

Fine-tunings that differ in their seed alone disagree where the data are few. The mean of their
probabilities is steadier than any of them (deep ensembles: Lakshminarayanan et al., arXiv
1612.01474, section 2.4), at the price of training and running them all. In a vote each counts as
one, however sure it is (Dietterich 2000, "Ensemble methods in machine learning", section 1).
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
    groups_by_manifest,
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
    name, rows, test_rows = ensemble(arm, "averaged"), [], {}
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


def ensemble(arm: str, kind: str) -> str:
    """What the seeds of an arm are called together; `kind` is one of `KINDS`."""
    return f"{arm}, seeds {kind}"


def single(arm: str) -> str:
    """The arm whose seeds decide together under this name; any other is itself."""
    for kind in KINDS:
        arm = arm.removesuffix(ensemble("", kind))
    return arm


def is_ensemble(arm: str) -> bool:
    return single(arm) != arm


def seeds_together(
    index: pd.DataFrame, root: Path, more_metrics: Iterable[str] = ()
) -> tuple[pd.DataFrame, dict[tuple[str, str, str], TestRows]]:
    """Test scores of the seeds of every arm, averaged and voted.

    Parameters
    ----------
    index, root, more_metrics
        As for `with_seeds_averaged`; inner folds are not read.

    Returns
    -------
    runs
        Rows like those of `summary.runs_table` of each arm with several seeds, one per kind and
        fold: the arm is called `ensemble(ARM, KIND)`, its seed `all`; n_seeds says of how many.
    test_rows
        What was predicted, as `run_predictions.read_test_rows` returns it; of an arm with a single
        seed this is what that one predicts.
    """
    rows, test_rows = [], {}
    groups = groups_by_manifest(index.to_dict("records"), root)
    several = index.groupby("arm")["seed"].nunique() > 1
    for (arm, fold), of_fold in index.groupby(["arm", "fold"], sort=False):
        runs = of_fold.to_dict("records")
        positive = positive_label(runs[0], root)
        thresholds = [decision_threshold(run, root) for run in runs]
        members = [read_predictions(run, root) for run in runs]
        members = [frame[frame["split"] == "test"] for frame in members]
        for kind, together in KINDS.items():
            name, predictions = ensemble(arm, kind), together(members, thresholds)
            test_rows[name, str(fold), "all"] = make_test_rows(
                predictions, groups[runs[0]["manifest"]], positive
            )
            if several[arm]:
                found = evaluate(predictions, positive, more_metrics)["splits"]["test"]
                scores = {key: score for key, score in found.items() if not isinstance(score, list)}
                run = {"arm": name, "fold": fold, "seed": "all", "n_seeds": len(runs)}
                rows.append({**run, "split": "test", **scores})
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
    if len(predictions) == 1:
        return predictions[0]
    first, classes, probabilities, _ = _aligned(predictions)
    mean = probabilities.mean(axis=0)
    return _decided(first, classes, mean, decide(mean, classes, mean_threshold(thresholds)))


def voted(
    predictions: Sequence[pd.DataFrame], thresholds: Sequence[Threshold | None]
) -> pd.DataFrame:
    """What most of several models decide, each by its own threshold.

    Equally many votes are decided by the mean probability: of these classes the likeliest or,
    where thresholds were tuned, what the averaged models decide.

    Parameters and errors are those of `averaged`.

    Returns
    -------
    pandas.DataFrame
        Like the first of them, with the mean probabilities: shares of votes of two seeds would be
        0, one half or 1, which is no probability to score. So loss, average_precision and roc_auc
        are those of the averaged models, and ece is about the mean probability of the class that
        was voted for.
    """
    first, classes, probabilities, decided = _aligned(predictions)
    mean = probabilities.mean(axis=0)
    preferred, threshold = mean, mean_threshold(thresholds)
    if threshold is not None:
        preferred = np.eye(len(classes))[decide(mean, classes, threshold)]
    votes = np.eye(len(classes))[decided].sum(axis=0)
    return _decided(first, classes, mean, (votes + preferred / 2).argmax(axis=1))


KINDS = {"averaged": averaged, "voted": voted}
"""How seeds decide together."""


def _aligned(
    predictions: Sequence[pd.DataFrame],
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The first of several predictions with ids as its index, the classes, probabilities
    (n_models, n_rows, n_classes) and indices of decisions (n_models, n_rows), in its order."""
    first, *others = frames = [frame.set_index("id") for frame in predictions]
    columns = [name for name in first if name.startswith("p_")]
    for other in others:
        if {name for name in other if name.startswith("p_")} != set(columns):
            raise InputError(
                "models of different classes cannot be averaged; name those of one arm"
            )
    classes = np.array([name[2:] for name in columns])
    frames = [frame.loc[first.index] for frame in frames]
    decided = [pd.Index(classes).get_indexer(frame["predicted"]) for frame in frames]
    probabilities = np.stack([frame[columns].to_numpy() for frame in frames])
    return first, classes, probabilities, np.stack(decided)


def _decided(
    first: pd.DataFrame, classes: np.ndarray, probabilities: np.ndarray, decided: np.ndarray
) -> pd.DataFrame:
    columns = {f"p_{name}": probabilities[:, place] for place, name in enumerate(classes)}
    return first.assign(**columns, predicted=classes[decided]).reset_index()
