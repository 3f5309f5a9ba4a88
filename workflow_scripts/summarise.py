"""Rule summarise: the tables over all runs of an experiment."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

import pandas as pd

from speechlasso.evaluation import summary
from speechlasso.evaluation.exports import score_table
from speechlasso.evaluation.reference import reference_arm
from speechlasso.evaluation.run_predictions import read_test_rows
from speechlasso.evaluation.seed_average import seeds_together
from speechlasso.evaluation.verdicts import verdict_table
from speechlasso.experiment.job import job
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import write_csv, write_text

with job(snakemake):
    use_plugins(snakemake.params.modules)
    params = snakemake.params
    results = [summary.read_run(**run) for run in params.runs]
    runs = summary.runs_table(results, params.more_metrics, params.chosen_on)
    chosen = summary.chosen_on_validation(runs, params.metric)
    runs = summary.stacked(runs, chosen)
    write_csv(snakemake.output.runs, runs)
    write_csv(snakemake.output.confusion, summary.confusion_table(results))
    index = pd.DataFrame(params.runs)
    of_all = summary.with_chosen(index, chosen)
    together, test_rows = seeds_together(of_all, Path(), params.more_metrics)
    if index["fold"].nunique() == 1:
        test_rows |= read_test_rows(index, Path())
    together = together.assign(chosen="", chosen_on=params.chosen_on)
    scores = summary.summary_table(summary.stacked(runs, together), test_rows)
    write_csv(snakemake.output.summary, scores)
    reference = reference_arm(params.reads, params.reference)
    verdicts = verdict_table(runs, test_rows, reference, params.metric, params.margin)
    write_csv(snakemake.output.verdicts, verdicts)
    table = score_table(params.experiment, runs, scores, params.metric, verdicts)
    write_text(snakemake.output.markdown, table.markdown())
    write_text(snakemake.output.latex, table.latex())
    write_text(snakemake.output.index, index.to_csv(sep="\t", index=False))
