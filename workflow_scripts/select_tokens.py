"""Rule select_tokens: choose the few audio tokens that matter for the task."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import read_json, write_json
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.path import SelectionPath
from speechlasso.selection.select import select

with job(snakemake) as settings:
    bow = BagOfWords.load(Path(snakemake.input.bow[0]).parent)
    path = n_tokens = None
    if snakemake.input.path:
        path = SelectionPath.load(Path(snakemake.input.path[0]).parent)
    if snakemake.input.like:
        n_tokens = len(read_json(snakemake.input.like)["tokens"])
    options = settings.model_dump(exclude={"selection"})
    selection = select(bow, settings.selection, path=path, n_tokens=n_tokens, **options)
    write_json(snakemake.output.selection, selection.to_json())
