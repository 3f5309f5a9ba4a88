"""Rule demo_corpus: synthesise speech whose label depends on words and prosody."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.data.demo_corpus import make_demo_corpus
from speechlasso.experiment.job import job
from speechlasso.files import write_csv

with job(snakemake) as settings:
    folder = Path(snakemake.output.table).parent
    manifest = make_demo_corpus(folder, **settings.demo.model_dump())
    write_csv(snakemake.output.table, manifest)
