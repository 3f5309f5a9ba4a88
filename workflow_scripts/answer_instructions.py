"""Rule answer_instructions: the language model answers instructions about transcripts."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

import pandas as pd

from speechlasso.experiment.job import job
from speechlasso.files import write_parquet
from speechlasso.language_model.answering import answer_instructions
from speechlasso.training.settings import CHECKPOINT

with job(snakemake) as settings:
    texts = pd.read_parquet(snakemake.input.texts, columns=["id", "split", "text"])
    answers = answer_instructions(
        texts[texts["split"].isin(settings.splits)],
        lm=settings.lm,
        settings=settings.self_powered,
        holdout=settings.holdout,
        threads=snakemake.threads,
        checkpoint_folder=Path(snakemake.output.answers).parent / CHECKPOINT,
    )
    write_parquet(snakemake.output.answers, answers)
