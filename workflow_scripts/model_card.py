"""Rule model_card: the README of a trained model, with the facts of its run."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.experiment.job import job
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import read_json, write_text
from speechlasso.trained_model.card import render_model_card

with job(snakemake):
    use_plugins(snakemake.params.modules)
    selection, adapt = snakemake.input.selection, snakemake.input.adapt
    overlap = snakemake.input.overlap
    card = render_model_card(
        snakemake.params.name,
        map(read_json, snakemake.input.specs),
        read_json(snakemake.input.finetune),
        read_json(adapt) if adapt else None,
        metrics=read_json(snakemake.input.metrics),
        training_log=pd.read_csv(snakemake.input.training_log),
        faithfulness=read_json(snakemake.input.training).get("faithfulness"),
        config=read_json(snakemake.input.config),
        selection=read_json(selection) if selection else None,
        page=snakemake.params.page,
        overlap=read_json(overlap) if overlap else None,
    )
    write_text(snakemake.output.card, card)
