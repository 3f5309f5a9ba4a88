"""Rule report: tables and figures of an experiment on one self-contained page."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.evaluation.anchor_bias import bias_by_arm
from speechlasso.evaluation.summary import read_run, read_table
from speechlasso.experiment.job import job
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import write_text
from speechlasso.language_model.corpus_overlap import overlapping_arms
from speechlasso.report.evidence import Evidence
from speechlasso.report.page import render_report

with job(snakemake):
    use_plugins(snakemake.params.modules)
    params = snakemake.params
    report = render_report(
        Evidence(
            experiment=params.experiment,
            runs=read_table(snakemake.input.runs),
            summary=read_table(snakemake.input.summary),
            results=[read_run(**run) for run in params.runs],
            transductive_arms=[*params.transductive_arms, *overlapping_arms(params.overlap_files)],
            anchor_bias=bias_by_arm(params.anchor_bias_files),
        )
    )
    for name, content in report.figures.items():
        write_text(Path(snakemake.output.figures, name), content)
    write_text(snakemake.output.report, report.html)
