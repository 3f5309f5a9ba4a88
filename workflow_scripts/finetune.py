"""Rule finetune: the language model learns the task; the best epoch's model is saved."""

import job_start  # noqa: F401

# isort: split

from functools import partial
from pathlib import Path

import pandas as pd

from speechlasso.experiment.job import CHECKPOINT, job
from speechlasso.files import read_json, write_csv, write_json
from speechlasso.language_model.finetuning import finetune
from speechlasso.language_model.token_rows import read_token_rows
from speechlasso.language_model.token_text import n_selected
from speechlasso.pipeline.provenance import environment
from speechlasso.trained_model.recipe import write_recipe
from speechlasso.training.processes import in_processes

with job(snakemake) as settings:
    folder = Path(snakemake.output.spec).parent
    work = partial(
        finetune,
        pd.read_parquet(snakemake.input.token_texts),
        folder,
        lm=settings.lm,
        settings=settings.finetune,
        metric=settings.metric,
        positive_label=settings.positive_label,
        n_audio_tokens=n_selected(snakemake.input.selection),
        token_rows=read_token_rows(snakemake.input.rows) if snakemake.input.rows else None,
        seed=settings.seed,
        threads=snakemake.threads,
        checkpoint_folder=folder / CHECKPOINT,
    )
    result = in_processes(settings.finetune.processes, work)
    read = snakemake.input
    write_recipe(folder, map(read_json, read.specs), read.selection, read.speech_tokenizer)
    write_csv(snakemake.output.training_log, result.log)
    training = {name: getattr(result, name) for name in ("train_seconds", "peak_memory_mb")}
    training |= {"threads": snakemake.threads, "environment": environment(settings)}
    write_json(snakemake.output.training, training)
