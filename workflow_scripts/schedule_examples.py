"""Rule schedule_examples: which training rows are read with speech, and when."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.data.folds import fold_examples
from speechlasso.data.schedule import schedule_examples
from speechlasso.experiment.job import job
from speechlasso.files import write_parquet

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    rows = fold_examples(manifest, pd.read_parquet(snakemake.input.folds), settings.fold)
    rows = rows[rows["split"] == "train"]
    examples = schedule_examples(rows, settings.schedule, settings.seed, settings.fold)
    write_parquet(snakemake.output.examples, examples)
