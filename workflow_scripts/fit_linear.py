"""Rule fit_linear: a light system learns the task and predicts every utterance."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import write_json, write_parquet
from speechlasso.pipeline.provenance import environment

with job(snakemake) as settings:
    inputs, folder = dict(snakemake.input.items()), Path(snakemake.output.spec).parent
    system = settings.card.load()
    training = system.fit(inputs, settings, folder, snakemake.threads)
    training["environment"] = environment(settings)
    write_json(snakemake.output.training, training)
    predictions = system.open(folder).predict(inputs, snakemake.threads)
    write_parquet(snakemake.output.predictions, predictions)
