"""Rule fit_linear: a light system learns the task and predicts every utterance."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import write_json, write_parquet
from speechlasso.pipeline.provenance import environment
from speechlasso.systems.fitting import fit

with job(snakemake) as settings:
    inputs, folder = dict(snakemake.input.items()), Path(snakemake.output.spec).parent
    training = fit(inputs, settings, folder, snakemake.threads)
    training["environment"] = environment(settings)
    write_json(snakemake.output.training, training)
    predictions = settings.card.load().open(folder).predict(inputs, snakemake.threads)
    write_parquet(snakemake.output.predictions, predictions)
