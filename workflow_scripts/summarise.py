"""Rule summarise: the tables over all runs of an experiment."""

import pandas as pd

from speechlasso import summary
from speechlasso.files import write_csv, write_text
from speechlasso.job import job

with job(snakemake):
    index = snakemake.params.runs
    results = [summary.read_run(**run) for run in index]
    runs = summary.runs_table(results)
    chosen = summary.chosen_on_validation(runs, snakemake.params.metric)
    if len(chosen):
        runs = pd.concat([runs, chosen])
    write_csv(snakemake.output.runs, runs)
    write_csv(snakemake.output.confusion, summary.confusion_table(results))
    write_csv(snakemake.output.summary, summary.summary_table(runs))
    write_text(snakemake.output.index, pd.DataFrame(index).to_csv(sep="\t", index=False))
