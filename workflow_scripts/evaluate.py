"""Rule evaluate: score one run's predictions, its validation rows maybe by inner folds."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.evaluation.inner_folds import validation_rows
from speechlasso.evaluation.scores import evaluate
from speechlasso.experiment.job import job
from speechlasso.files import write_json

with job(snakemake) as settings:
    inputs = dict(snakemake.input.items())
    predictions = pd.read_parquet(inputs["predictions"][0])
    predictions = pd.concat([predictions, validation_rows(inputs)], ignore_index=True)
    found = evaluate(predictions, settings.positive_label, settings.more_metrics)
    write_json(snakemake.output.metrics, found)
