"""Rule summarise: the tables over all runs of an experiment."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.files import write_csv, write_text
from speechlasso.job import job
from speechlasso.summary import (
    chosen_on_validation,
    confusion_table,
    read_run,
    runs_table,
    summary_table,
)

with job(snakemake):
    index = snakemake.params.runs
    results = [read_run(**run) for run in index]
    runs = runs_table(results)
    chosen = chosen_on_validation(runs, snakemake.params.metric)
    if len(chosen):
        runs = pd.concat([runs, chosen])
    write_csv(snakemake.output.runs, runs)
    write_csv(snakemake.output.confusion, confusion_table(results))
    write_csv(snakemake.output.summary, summary_table(runs))
    write_text(snakemake.output.index, pd.DataFrame(index).to_csv(sep="\t", index=False))
