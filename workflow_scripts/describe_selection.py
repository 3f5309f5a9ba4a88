"""Rule describe_selection: the evidence for each kept token, as tables and as a page."""

import job_start  # noqa: F401

# isort: split

from pathlib import Path

import pandas as pd

from speechlasso.data.recorded_clips import require_unchanged
from speechlasso.experiment.job import job
from speechlasso.files import read_json, write_parquet, write_text
from speechlasso.selection.bag_of_words import BagOfWords
from speechlasso.selection.listening import listening_examples
from speechlasso.selection.page import render_selection
from speechlasso.selection.path import SelectionPath
from speechlasso.selection.select import lasso_selection_probabilities
from speechlasso.selection.token_evidence import token_evidence, top_occurrences
from speechlasso.selection.token_selection import TokenSelection
from speechlasso.tokenizers.codes import CodeFiles

with job(snakemake) as settings:
    bow = BagOfWords.load(Path(snakemake.input.bow[0]).parent)
    selection = TokenSelection.from_json(read_json(snakemake.input.selection))
    path = SelectionPath.load(Path(of[0]).parent) if (of := snakemake.input.path) else None
    train = bow.rows_in("train")
    tokens = token_evidence(
        *(selection.tokens, bow.audio[train], bow.rows["label"].to_numpy()[train]),
        class_weights=selection.class_weights,
        selection_probability=lasso_selection_probabilities(bow, settings.selection, selection),
    )
    rows = pd.read_parquet(snakemake.input.manifest)
    training_rows = rows[rows["id"].isin(bow.rows["id"].iloc[train])]
    codes = CodeFiles(snakemake.input.codes)
    occurrences = top_occurrences(codes, training_rows, selection.tokens)
    require_unchanged(snakemake.input.clips, occurrences["clip"].tolist())
    write_parquet(snakemake.output.tokens, tokens)
    write_parquet(snakemake.output.occurrences, occurrences)
    heard = listening_examples(tokens, occurrences)
    write_parquet(snakemake.output.listening, heard)
    name, table = str(Path(snakemake.input.selection).parent), path and path.table
    shown = render_selection(name, selection, tokens, occurrences, table, heard)
    write_text(snakemake.output.page, shown)
