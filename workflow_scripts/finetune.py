"""Rule finetune: a system that needs torch learns the task."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import read_json, write_json
from speechlasso.pipeline.provenance import environment
from speechlasso.systems.fitting import fit
from speechlasso.trained_model.faithfulness import faithfulness_of_model
from speechlasso.trained_model.recipe import write_recipe

with job(snakemake) as settings:
    inputs, folder = dict(snakemake.input.items()), Path(snakemake.output.spec).parent
    training = fit(inputs, settings, folder, snakemake.threads)
    selection, tokenizer = (inputs.get(role, [None])[0] for role in ("select", "tokenizer"))
    specs = map(read_json, inputs["specs"])
    write_recipe(folder, specs, getattr(settings.arm, "inputs", []), selection, tokenizer)
    if settings.card.has_model_card:
        texts = inputs["token_texts"][0]
        found = faithfulness_of_model(folder, texts, settings.seed, snakemake.threads)
        training["faithfulness"] = found
    training |= {"threads": snakemake.threads, "environment": environment(settings)}
    write_json(snakemake.output.training, training)
