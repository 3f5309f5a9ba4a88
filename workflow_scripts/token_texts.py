"""Rule token_texts: write down what the language model will read."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.data.folds import fold_examples
from speechlasso.experiment.job import job
from speechlasso.files import read_json, write_parquet
from speechlasso.language_model.token_text import token_texts
from speechlasso.selection.token_selection import TokenSelection
from speechlasso.tokenizers.codes import CodeFiles

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    if snakemake.input.folds:
        examples = fold_examples(manifest, pd.read_parquet(snakemake.input.folds), settings.fold)
    else:
        examples = manifest.assign(split="train", label=None)
    codes = selection = None
    if "audio" in settings.inputs:
        codes = CodeFiles(snakemake.input.codes)
        selection = TokenSelection.from_json(read_json(snakemake.input.selection))
    write_parquet(
        snakemake.output.token_texts, token_texts(examples, settings.inputs, codes, selection)
    )
