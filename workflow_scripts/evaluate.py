"""Rule evaluate: score one run's predictions."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.evaluation.scores import evaluate
from speechlasso.experiment.job import job
from speechlasso.files import write_json

with job(snakemake) as settings:
    predictions = pd.read_parquet(snakemake.input.predictions)
    found = evaluate(predictions, settings.positive_label, settings.more_metrics)
    write_json(snakemake.output.metrics, found)
