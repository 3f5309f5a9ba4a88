"""Rule build_bow: count words and audio tokens of one fold's utterances."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

import pandas as pd

from speechlasso.data.folds import fold_examples
from speechlasso.experiment.job import job
from speechlasso.selection.bag_of_words import build_bag_of_words
from speechlasso.tokenizers.codes import CodeFiles

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    examples = fold_examples(manifest, pd.read_parquet(snakemake.input.folds), settings.fold)
    codes = CodeFiles(snakemake.input.codes) if snakemake.input.codes else None
    bow = build_bag_of_words(examples, codes, settings.bow.layers, settings.bow.lowercase)
    bow.save(Path(snakemake.output.spec).parent)
