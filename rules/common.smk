"""The plan, and how rules read it. Nothing heavier than pandas and pydantic is imported here."""

import sys

# Lets the workflow run from any environment that has Snakemake, installed or not.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

import pandas as pd
from snakemake.exceptions import WorkflowError
from speechlasso.config import load_settings
from speechlasso.errors import InputError
from speechlasso.plan import make_plan
from speechlasso.summary import score_lines
from speechlasso.tokenizers import tokenizer_files

try:
    SETTINGS = load_settings(config)
    PLAN = make_plan(SETTINGS)
except InputError as error:
    # Without the chained traceback, which would bury the message.
    raise WorkflowError(str(error)) from None

EXPERIMENT = f"results/experiments/{PLAN.experiment}"


def one_of(stage):
    """A wildcard constraint: the planned keys of a stage and nothing else."""
    return "|".join(PLAN.keys(stage)) or "(?!)"


def spec_of(stage):
    """A params function: all that the key of the job's variant covers."""
    return lambda wildcards: PLAN[stage, wildcards[stage]].spec


def upstream(stage, role, filename):
    """An input function: a file of the variant that the job's variant reads in a role, if any."""

    def path(wildcards):
        variant = PLAN[stage, wildcards[stage]].upstream.get(role)
        return f"{variant.folder}/{filename}" if variant else []

    return path


def table_of_manifest(wildcards):
    """The table that a manifest is made from: the demo corpus' or the user's own."""
    variant = PLAN["manifest", wildcards.manifest]
    corpus = variant.upstream.get("corpus")
    return f"{corpus.folder}/manifest.csv" if corpus else variant.settings.table.path


def selection_of_texts(stage):
    """An input function: the selection behind the token texts that the job reads, if any."""

    def path(wildcards):
        token_texts = PLAN[stage, wildcards[stage]].upstream["token_texts"]
        select = token_texts.upstream.get("select")
        return f"{select.folder}/selection.json" if select else []

    return path


def upstream_shards(stage):
    """An input function: all shards of the codes that the job's variant reads, if any."""

    def paths(wildcards):
        codes = PLAN[stage, wildcards[stage]].upstream.get("codes")
        return [f"{codes.folder}/shard-{i}.parquet" for i in range(PLAN.n_shards)] if codes else []

    return paths


def closing_words():
    """What a finished run says: the table of arms and where to look further."""
    summary = Path(EXPERIMENT, "summary.csv")
    if not summary.exists():
        return "Done; the tables of this experiment are not written yet."
    return f"\n{score_lines(pd.read_csv(summary), SETTINGS.evaluate.metric)}\n\n{EXPERIMENT}/report.html"


wildcard_constraints:
    corpus=one_of("corpus"),
    manifest=one_of("manifest"),
    folds=one_of("folds"),
    tokenizer=one_of("tokenizer"),
    codes=one_of("codes"),
    bow=one_of("bow"),
    path=one_of("path"),
    select=one_of("select"),
    description=one_of("description"),
    token_texts=one_of("token_texts"),
    adapt=one_of("adapt"),
    finetune=one_of("finetune"),
    linear=one_of("linear"),
    predict=one_of("predict"),
    evaluate=one_of("evaluate"),
    shard=r"\d+",
