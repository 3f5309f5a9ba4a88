"""Rule select_tokens: choose the few audio tokens that matter for the task."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.files import read_json, write_json
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.cards import SELECTIONS
from speechlasso.selection.path import SelectionPath
from speechlasso.selection.select import Given

with job(snakemake) as settings:
    bow = BagOfWords.load(Path(snakemake.input.bow[0]).parent)
    given = {name: value for name, value in settings if name != "selection"}
    if snakemake.input.path:
        given["path"] = SelectionPath.load(Path(snakemake.input.path[0]).parent)
    if snakemake.input.like:
        given["n_tokens"] = len(read_json(snakemake.input.like)["tokens"])
    method = SELECTIONS[settings.selection.method].load()
    selection = method.select(bow, settings.selection, Given(**given))
    write_json(snakemake.output.selection, selection.to_json())
