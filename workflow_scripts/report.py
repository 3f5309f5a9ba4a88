"""Rule report: tables and figures of an experiment on one self-contained page."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import write_text
from speechlasso.language_model.corpus_overlap import overlapping_arms
from speechlasso.report.page import render_report
from speechlasso.report.reading import read_evidence

with job(snakemake):
    params = snakemake.params
    use_plugins(params.modules)
    report = render_report(
        read_evidence(
            params.experiment,
            snakemake.input,
            params.runs,
            params.described,
            params.training_logs,
            params.anchor_bias_files,
            [*params.transductive_arms, *overlapping_arms(params.overlap_files)],
            params.metric,
            params.codec_layers,
            params.about,
        )
    )
    for name, content in report.figures.items():
        write_text(Path(snakemake.output.figures, name), content)
    write_text(snakemake.output.report, report.html)
