"""What an arm scores when the probabilities of its seeds are averaged.

Fine-tunings that differ in their seed alone disagree where the data are few. The mean of their
probabilities is steadier than any of them (deep ensembles: Lakshminarayanan et al., arXiv
1612.01474, section 2.4), at the price of training and running them all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from speechlasso.decision import decide
from speechlasso.errors import InputError
from speechlasso.evaluation import evaluate
from speechlasso.files import read_json


def with_seeds_averaged(index: pd.DataFrame, arm: str, folder: Path) -> pd.DataFrame:
    """Scores of an arm's averaged probabilities in each fold, by the likeliest class.

    Parameters
    ----------
    index
        Columns arm, fold, evaluate, and predict or linear: the folders of each run, as index.tsv
        has them.
    folder
        Where these folders lie.

    Returns
    -------
    pandas.DataFrame
        Rows like those of `summary.runs_table`, one per fold and split; the arm is called
        `ARM, seeds averaged` and its seed `all`.

    Raises
    ------
    InputError
        If the index has no such arm, or predictions are not there any more.
    """
    # Experiments without a linear arm, or of such arms alone, have one of the two columns.
    columns = ["fold", "predict", "linear", "evaluate"]
    runs = index[index["arm"] == arm].reindex(columns=columns).astype(object)
    if runs.empty:
        raise InputError(f"{arm!r} has no runs of its own; average those that it is chosen from")
    rows = []
    for fold, of_fold in runs.groupby("fold", sort=False):
        paths = of_fold["predict"].fillna(of_fold["linear"])
        predictions = averaged([_read(folder / path) for path in paths])
        settings = read_json(folder / of_fold["evaluate"].iloc[0] / "spec.json")["settings"]
        for split, scores in evaluate(predictions, settings["positive_label"])["splits"].items():
            rows.append({"fold": fold, "split": split, **scores})
    return pd.DataFrame(rows).assign(arm=f"{arm}, seeds averaged", seed="all")


def averaged(predictions: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of several models' probabilities, and the class that is likeliest by it.

    Parameters
    ----------
    predictions
        As `evaluation.predictions_frame` makes them, of the same utterances. A single one is left
        as it is, which may have been decided by a threshold.

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
    return first.assign(predicted=classes[decide(mean, classes)]).reset_index()


def _read(folder: Path) -> pd.DataFrame:
    path = folder / "predictions.parquet"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the experiment again")
    return pd.read_parquet(path)
