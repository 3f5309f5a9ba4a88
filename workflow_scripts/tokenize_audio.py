"""Rule tokenize_audio: encode one shard of the utterances."""

import job_start  # noqa: F401

# isort: split

import pandas as pd

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.experiment.job import job
from speechlasso.pipeline.shards import shard_rows
from speechlasso.tokenizers.tokenization import encode_utterances, load_tokenizer

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    shard, n_shards = int(snakemake.wildcards.shard), int(snakemake.wildcards.n_shards)
    rows = shard_rows(len(manifest), shard, n_shards)
    learned = snakemake.input.tokenizer or None
    tokenizer = load_tokenizer(settings.tokenizer, learned, snakemake.threads)
    clips = RecordedClips.read(snakemake.input.clips)
    encode_utterances(tokenizer, manifest.iloc[rows], clips).write(snakemake.output.codes)
