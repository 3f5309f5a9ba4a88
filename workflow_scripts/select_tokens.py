"""Rule select_tokens: choose the few audio tokens that matter for the task."""

from pathlib import Path

from speechlasso.bag_of_words import BagOfWords
from speechlasso.files import read_json, write_json
from speechlasso.job import job
from speechlasso.selection import select_all, select_by_lasso, select_random

with job(snakemake) as settings:
    bow = BagOfWords.load(Path(snakemake.input.bow).parent)
    if settings.selection.method == "random":
        n_tokens = len(read_json(snakemake.input.like)["tokens"])
        selection = select_random(bow.features, n_tokens, settings.seed)
    elif settings.selection.method == "all":
        selection = select_all(bow.features)
    else:
        selection = select_by_lasso(
            bow, settings.selection, settings.metric, settings.positive_label
        )
    write_json(snakemake.output.selection, selection.to_json())
