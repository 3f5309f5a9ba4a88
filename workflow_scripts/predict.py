"""Rule predict: class probabilities of every utterance, from the saved model alone."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import write_parquet
from speechlasso.systems.cards import SYSTEMS

with job(snakemake) as settings:
    inputs = dict(snakemake.input.items())
    folder = Path(inputs["training"][0]).parent
    fitted = SYSTEMS[settings.system].load().open(folder)
    write_parquet(snakemake.output.predictions, fitted.predict(inputs, snakemake.threads))
