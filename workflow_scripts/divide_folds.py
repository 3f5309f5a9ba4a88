"""Rule divide_folds: which utterances train, validate and test in each fold."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.data.folds import divide_folds
from speechlasso.experiment.job import job
from speechlasso.files import write_parquet

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    write_parquet(snakemake.output.folds, divide_folds(manifest, settings.folds))
