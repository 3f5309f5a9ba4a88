"""Results of runs with known confusions, and their report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.summary import RunResult, runs_table, summary_table
from speechlasso.report.evidence import Evidence
from speechlasso.report.page import render_report

# Pairs of class and predicted class; no number occurs twice in or between the splits.
CONFUSION = {
    "train": [[101, 19], [23, 103]],
    "validation": [[53, 59], [61, 79]],
    "test": [[7, 11], [13, 17]],
}


def predictions(classes, confusion=CONFUSION):
    rows = [
        (split, label, predicted)
        for split, matrix in confusion.items()
        for label, counts in zip(classes, matrix, strict=True)
        for predicted, count in zip(classes, counts, strict=True)
        for _ in range(count)
    ]
    frame = pd.DataFrame(rows, columns=["split", "label", "predicted"])
    frame.insert(0, "id", [f"u{number}" for number in range(len(frame))])
    decided = frame["predicted"].map(classes.index).to_numpy()
    probabilities = np.full((len(frame), len(classes)), 0.3 / len(classes))
    probabilities[np.arange(len(frame)), decided] += 0.7
    return predictions_frame(frame, probabilities, classes)


TRAINING = {
    "trainable_parameters": 4321,
    "mean_sequence_length": 51.5,
    "train_seconds": 90.0,
    "peak_memory_mb": 640.0,
}


def results(
    arms=("text_only", "lasso"), classes=("calm", "tense"), folds=("0",), training=TRAINING
):
    metrics = evaluate(predictions(list(classes)), None)
    selection = {"tokens": [{"layer": layer} for layer in (0, 0, 2)]}
    return [RunResult(arm, fold, 1, metrics, selection, training) for arm in arms for fold in folds]


def page_of(results, experiment="mine", summary=None, **more):
    runs = runs_table(results)
    summary = summary_table(runs) if summary is None else summary
    return render_report(Evidence(experiment, runs, summary, results, **more)).html
