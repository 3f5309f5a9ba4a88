"""Rule evaluate: score one run's predictions."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.evaluation import evaluate
from speechlasso.files import write_json
from speechlasso.job import job

with job(snakemake) as settings:
    predictions = pd.read_parquet(snakemake.input.predictions)
    write_json(snakemake.output.metrics, evaluate(predictions, settings.positive_label))
