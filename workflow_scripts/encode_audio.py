"""Rule encode_audio: frames of one shard of the utterances."""

import job_start  # noqa: F401

# isort: split

from itertools import chain

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.experiment.job import job
from speechlasso.features.encode_audio import encode_audio
from speechlasso.features.frame_files import write_frames
from speechlasso.pipeline.shards import read_shard_rows

with job(snakemake) as settings:
    shard, n_shards = int(snakemake.wildcards.shard), int(snakemake.wildcards.n_shards)
    utterances = read_shard_rows(snakemake.input.manifest, shard, n_shards)
    clips = RecordedClips.read(snakemake.input.clips, chain.from_iterable(utterances["audio"]))
    frames, kind = encode_audio(settings.encoder, utterances, snakemake.threads, clips)
    write_frames(snakemake.output.frames, frames, kind)
