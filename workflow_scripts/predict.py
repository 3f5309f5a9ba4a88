"""Rule predict: class probabilities of every utterance, from the saved model alone."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

import pandas as pd

from speechlasso.experiment.job import job
from speechlasso.files import write_parquet
from speechlasso.language_model.prediction import predict

with job(snakemake):
    predictions = predict(
        Path(snakemake.input.model[0]).parent,
        pd.read_parquet(snakemake.input.token_texts),
        threads=snakemake.threads,
    )
    write_parquet(snakemake.output.predictions, predictions)
