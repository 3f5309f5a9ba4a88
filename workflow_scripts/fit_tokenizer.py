"""Rule fit_tokenizer: learn a speech tokenizer on the training clips of one fold."""

import job_start  # noqa: F401

# isort: split

from itertools import chain

import pandas as pd

from speechlasso.data.folds import fold_examples
from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.experiment.job import job
from speechlasso.features.frame_files import FrameFiles
from speechlasso.files import write_array
from speechlasso.tokenizers import tokenization

with job(snakemake) as settings:
    manifest = pd.read_parquet(snakemake.input.manifest)
    examples = fold_examples(manifest, pd.read_parquet(snakemake.input.folds), settings.fold)
    training = tokenization.rows_to_learn_from(
        examples[examples["split"] == "train"], settings.tokenizer
    )
    if snakemake.input.frames:
        frames = FrameFiles(snakemake.input.frames)
        tokenizer = tokenization.fit_tokenizer_to_frames(
            settings.tokenizer, frames, set(training["id"])
        )
    else:
        clips = RecordedClips.read(snakemake.input.clips, chain.from_iterable(training["audio"]))
        tokenizer = tokenization.fit_tokenizer(
            settings.tokenizer, training, snakemake.threads, clips
        )
    tokenizer.save(snakemake.output.tokenizer)
    write_array(snakemake.output.centroids, tokenizer.centroids)
