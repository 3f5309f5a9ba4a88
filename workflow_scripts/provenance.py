"""Rule provenance: where the results of an experiment come from, and what they took."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.evaluation.summary import read_run
from speechlasso.experiment.job import job
from speechlasso.experiment.provenance import provenance
from speechlasso.files import write_json

with job(snakemake):
    results = [read_run(**run) for run in snakemake.params.runs]
    workflow = Path(snakemake.scriptdir).parent
    write_json(snakemake.output.provenance, provenance(snakemake.params.planned, results, workflow))
