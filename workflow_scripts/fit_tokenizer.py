"""Rule fit_tokenizer: learn a speech tokenizer on the training clips of one fold."""

import pandas as pd

from speechlasso.folds import fold_examples
from speechlasso.job import job
from speechlasso.tokenization import fit_tokenizer

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    examples = fold_examples(manifest, pd.read_parquet(snakemake.input.folds), settings.fold)
    training = examples[examples["split"] == "train"]
    fit_tokenizer(settings.tokenizer, training["audio"]).save(snakemake.output.tokenizer)
