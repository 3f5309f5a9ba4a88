"""Rule fit_path: fit the lasso once along its path of alphas, for every later choice on it."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

from speechlasso.experiment.job import job
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.path import LassoRows, SelectionPath

with job(snakemake) as settings:
    bow = BagOfWords.load(Path(snakemake.input.bow[0]).parent)
    rows = LassoRows.of(bow, settings.fitting)
    path = SelectionPath.fitted(rows)
    path.save(Path(snakemake.output.spec).parent)
