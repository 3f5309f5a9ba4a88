"""Rule adapt_lm: the language model learns the new tokens from unlabelled token texts."""

import job_start  # noqa: F401

# isort: split

from functools import partial
from pathlib import Path

import pandas as pd

from speechlasso.data.folds import fold_examples
from speechlasso.data.recorded_clips import recorded_digests
from speechlasso.experiment.job import job
from speechlasso.files import write_csv, write_json
from speechlasso.language_model.adaptation import adapt
from speechlasso.language_model.corpus_overlap import corpus_overlap
from speechlasso.language_model.token_rows import NewTokens, write_token_rows
from speechlasso.training.processes import in_processes
from speechlasso.training.settings import CHECKPOINT

with job(snakemake) as settings:
    read = snakemake.input
    token_texts = pd.read_parquet(read.token_texts)
    overlap = {}
    if read.corpus:
        manifest, folds, corpus = map(pd.read_parquet, (read.manifest, read.folds, read.corpus))
        examples = fold_examples(manifest, folds, settings.fold)
        overlap = corpus_overlap(corpus, examples, recorded_digests(read.clips), settings.by_id)
    write_json(snakemake.output.overlap, overlap)
    work = partial(
        adapt,
        token_texts[token_texts["split"].isin(settings.adapt.splits)],
        lm=settings.lm,
        settings=settings.adapt,
        new_tokens=NewTokens.of(read.select, centroids=read.centroids),
        seed=settings.seed,
        threads=snakemake.threads,
        checkpoint_folder=Path(snakemake.output.rows).parent / CHECKPOINT,
        answers=pd.read_parquet(read.answers) if read.answers else None,
    )
    adaptation = in_processes(settings.adapt.processes, work)
    write_csv(snakemake.output.training_log, adaptation.log)
    write_json(snakemake.output.anchor_bias, adaptation.anchor_bias)
    write_token_rows(snakemake.output.rows, adaptation.rows)
