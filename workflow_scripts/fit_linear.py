"""Rule fit_linear: the cheap baseline, logistic regression on the bag of words."""

import job_start  # noqa: F401

# isort: split

import time
from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import read_json, write_json, write_parquet
from speechlasso.pipeline.provenance import environment
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.token_selection import TokenSelection
from speechlasso.systems.linear_classifier import fit_and_predict

with job(snakemake) as settings:
    bow = BagOfWords.load(Path(snakemake.input.bow[0]).parent)
    selection = None
    if "audio" in settings.inputs:
        selection = TokenSelection.from_json(read_json(snakemake.input.selection))
    started = time.perf_counter()
    predictions, training = fit_and_predict(
        bow,
        selection,
        settings.inputs,
        settings.linear,
        settings.metric,
        settings.positive_label,
        settings.seed,
    )
    training["train_seconds"] = time.perf_counter() - started
    training["environment"] = environment(settings)
    write_parquet(snakemake.output.predictions, predictions)
    write_json(snakemake.output.training, training)
