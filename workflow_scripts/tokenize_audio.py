"""Rule tokenize_audio: encode one shard of the utterances."""

import job_start  # noqa: F401

# isort: split

from itertools import chain

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.experiment.job import job
from speechlasso.features.frame_files import FrameFiles
from speechlasso.pipeline.shards import read_shard_rows
from speechlasso.tokenizers.tokenization import encode_frames, encode_utterances, load_tokenizer

with job(snakemake) as settings:
    shard, n_shards = int(snakemake.wildcards.shard), int(snakemake.wildcards.n_shards)
    utterances = read_shard_rows(snakemake.input.manifest, shard, n_shards)
    learned = snakemake.input.tokenizer or None
    tokenizer = load_tokenizer(settings.tokenizer, learned, snakemake.threads)
    if snakemake.input.frames:
        frames = FrameFiles(snakemake.input.frames)
        codes = encode_frames(
            tokenizer, frames, settings.tokenizer.layers, utterances["id"].tolist()
        )
    else:
        clips = RecordedClips.read(snakemake.input.clips, chain.from_iterable(utterances["audio"]))
        codes = encode_utterances(tokenizer, utterances, clips)
    codes.write(snakemake.output.codes)
