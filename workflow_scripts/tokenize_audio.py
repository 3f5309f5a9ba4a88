"""Rule tokenize_audio: encode one shard of the utterances."""

import pandas as pd

from speechlasso.codes import shard_rows
from speechlasso.job import job
from speechlasso.tokenization import encode_utterances, load_tokenizer

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    rows = shard_rows(len(manifest), int(snakemake.wildcards.shard), snakemake.params.n_shards)
    learned = snakemake.input.tokenizer or None
    tokenizer = load_tokenizer(settings.tokenizer, learned, snakemake.threads)
    encode_utterances(tokenizer, manifest.iloc[rows]).write(snakemake.output.codes)
