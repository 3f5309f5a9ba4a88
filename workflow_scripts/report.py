"""Rule report: tables and figures of an experiment on one self-contained page."""

import job_start  # noqa: F401

# isort: split

from speechlasso.evaluation.anchor_bias import bias_by_arm
from speechlasso.evaluation.report import render_report
from speechlasso.evaluation.summary import read_run, read_table
from speechlasso.experiment.job import job
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import write_text
from speechlasso.language_model.corpus_overlap import overlapping_arms

with job(snakemake):
    use_plugins(snakemake.params.modules)
    page = render_report(
        snakemake.params.experiment,
        read_table(snakemake.input.runs),
        read_table(snakemake.input.summary),
        [read_run(**run) for run in snakemake.params.runs],
        [*snakemake.params.transductive_arms, *overlapping_arms(snakemake.params.overlap_files)],
        bias_by_arm(snakemake.params.anchor_bias_files),
    )
    write_text(snakemake.output.report, page)
