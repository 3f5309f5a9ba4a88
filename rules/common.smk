"""The plan, and how rules read it. Nothing heavier than pandas and pydantic is imported here."""

import os
import re
import sys
import time
import traceback

# Lets the workflow run from any environment that has Snakemake, installed or not.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

import speechlasso
from snakemake.exceptions import WorkflowError
from speechlasso.experiment.load import load_settings
from speechlasso.experiment.config_sources import laid_over, with_command_line
from speechlasso.errors import DEBUG, InputError
from speechlasso.evaluation.inner_folds import is_inner
from speechlasso.pipeline.observations import Observations
from speechlasso.experiment.out_of_memory import killed_jobs
from speechlasso.experiment.in_words import in_words
from speechlasso.experiment.plan import make_plan, predicts_as_it_learned
from speechlasso.experiment.provenance import planned
from speechlasso.experiment.unlock import wait_for_turn
from speechlasso.pipeline.shards import spec_of_shard
from speechlasso.pipeline.stages import STAGES
from speechlasso.systems.cards import SYSTEMS
from speechlasso.systems.settings import CLIPS_ROLE
from speechlasso.evaluation.summary import read_table, score_lines

STARTED = time.time()

if not Path(speechlasso.__file__).resolve().is_relative_to(Path(workflow.basedir).resolve()):
    raise WorkflowError(
        f"this process has loaded {speechlasso.__file__}, but the workflow is that of {workflow.basedir}; "
        "start snakemake in a process of its own"
    )

if getattr(workflow.execution_settings, "debug", False):
    os.environ[DEBUG] = "1"

try:
    # What Snakemake made of them has words where null was written, and mixes methods.
    OVERLAYS = workflow.config_settings.configfiles
    RAW = laid_over(config, workflow.configfiles[len(OVERLAYS) :], OVERLAYS)
    SETTINGS = load_settings(with_command_line(RAW, workflow.config_settings.config_args))
    EXPERIMENT = f"results/experiments/{SETTINGS.experiment.name}"
    OBSERVED = f"{EXPERIMENT}/observed.json"
    # Snakemake runs this file once more in each job of a cluster, which looks at no data by itself.
    PLAN = make_plan(SETTINGS, Observations(None if workflow.is_main_process else OBSERVED))
except InputError as error:
    if DEBUG in os.environ:
        traceback.print_exc()
    # Without the chained traceback, which would bury the message.
    raise WorkflowError(str(error)) from None

TURN = wait_for_turn() if workflow.is_main_process else None


def write_observations():
    """For the jobs of a cluster."""
    try:
        PLAN.observations.write(OBSERVED)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def one_of(stage, is_meant=lambda variant: True):
    """A wildcard constraint: the planned keys of a stage, or of some of its variants, and nothing else."""
    keys = [key for key, variant in PLAN.variants[stage].items() if is_meant(variant)]
    return "|".join(map(re.escape, sorted(keys))) or "(?!)"


def systems_of(rule_name):
    """Cards of the systems that a training rule serves, and the rule's name for each.

    Each system leaves other files, so each has its own rule; that of the first system has the plain name.
    """
    cards = [card for card in SYSTEMS.cards() if card.rule == rule_name]
    names = [rule_name, *(f"{rule_name}_{card.name}" for card in cards[1:])]
    return list(zip(cards, names, strict=True))


def files_read(variant, role):
    """The files of a variant that others read in a role."""
    if variant.settings.shard_suffix:
        return PLAN.shards(variant)
    files = [f"{variant.folder}/{name}" for name in variant.settings.files_read(role)]
    if role == CLIPS_ROLE and (corpus := variant.upstream.get("demo_corpus")):
        files.append(f"{corpus.folder}/wav")
    return files


def inputs_of(stage):
    """An input function for `unpack`: the files of all that the job's variant reads, by role."""

    def files(wildcards):
        upstream = PLAN[stage, wildcards[stage]].upstream
        return {role: files_read(variant, role) for role, variant in upstream.items()}

    return files


def spec_of(stage):
    """A params function: all that the key of the job's variant covers."""
    return lambda wildcards: PLAN[stage, wildcards[stage]].spec


def computation_of(stage):
    """A params function: settings of how the job computes, which are no part of its key."""
    # Snakemake runs no job again for a parameter that it takes for derived from its threads.
    return lambda wildcards, threads: PLAN[stage, wildcards[stage]].settings.of_computation()


def growing(first):
    """A resources function: twice as much each time that a job is submitted again (`retries` of a profile)."""
    return lambda wildcards, attempt: first * 2 ** (attempt - 1)


def upstream(stage, role, filename):
    """An input function: a file of the variant that the job's variant reads in a role, if any."""

    def path(wildcards):
        variant = PLAN[stage, wildcards[stage]].upstream.get(role)
        return f"{variant.folder}/{filename}" if variant else []

    return path


def files_of(stage):
    """The files of a stage that other stages read together."""
    return STAGES[stage].files


def all_files(stage, role):
    """An input function: these files of the variant that the job's variant reads in a role, if any."""

    def paths(wildcards):
        variant = PLAN[stage, wildcards[stage]].upstream.get(role)
        return files_read(variant, role) if variant else []

    return paths


def declared(paths):
    """The user's files among a rule's inputs.

    Keys cover what they hold, so when they were written does not matter. Snakemake would take braces
    for wildcards and knows no way to escape them in inputs: such a file is left to the keys alone.
    """
    return [ancient(path) for path in paths if not {"{", "}"} & set(path)]


def data_files(stage):
    """An input function: the user's files that the job reads by itself."""
    return lambda wildcards: declared(PLAN[stage, wildcards[stage]].settings.data_files().values())


def table_of_manifest(wildcards):
    """The table that a manifest is made from: the demo corpus' or the user's own."""
    variant = PLAN["manifest", wildcards.manifest]
    corpus = variant.upstream.get("demo_corpus")
    return f"{corpus.folder}/manifest.csv" if corpus else declared([variant.settings.table.path])


def recorded_clips(stage):
    """An input function: what the manifest recorded of its clips, where the job reads clips and no frames."""

    def path(wildcards):
        read = PLAN[stage, wildcards[stage]].upstream
        return [] if "frames" in read else f"{read['manifest'].folder}/clips.parquet"

    return path


def corpus_clips(stage):
    """An input function: the demo corpus' clips, where the job reads those."""

    def path(wildcards):
        variant = PLAN[stage, wildcards[stage]]
        ancestors = () if "frames" in variant.upstream else variant.with_ancestors()
        return sorted({f"{v.folder}/wav" for v in ancestors if v.stage == "demo_corpus"})

    return path


def clips_of_corpus_and_data(wildcards):
    """What the manifests of a corpus and of the experiment's own data recorded of their clips."""
    upstream = PLAN["adapt_lm", wildcards.adapt_lm].upstream
    roles = ("corpus", "manifest") if "corpus" in upstream else ()
    return [f"{upstream[role].folder}/clips.parquet" for role in roles]


def specs_behind(stage):
    """An input function: the specs of the manifest, folds, codes and token texts that the job learns from."""

    def paths(wildcards):
        upstream = PLAN[stage, wildcards[stage]].upstream
        # An adapted model may come from another manifest, and inner folds from other rows.
        ancestors = [
            ancestor
            for role, read in upstream.items()
            if role != "adapt" and not is_inner(role)
            for ancestor in read.with_ancestors()
        ]
        return [
            (
                str(spec_of_shard(PLAN.shards(variant)[0]))
                if variant.settings.shard_suffix
                else f"{variant.folder}/spec.json"
            )
            for variant in {variant.folder: variant for variant in ancestors}.values()
            if variant.stage in ("manifest", "divide_folds", "tokenize_audio", "token_texts")
        ]

    return paths


def metrics_of_model(wildcards):
    """The metrics of the model's own predictions."""
    for variant in PLAN.variants["evaluate"].values():
        predictions = variant.upstream["predictions"]
        if predicts_as_it_learned(predictions) and wildcards.finetune == (
            predictions.upstream["training"].key
        ):
            return f"{variant.folder}/metrics.json"


def page_of_model(wildcards):
    """The page of evidence for the model's audio tokens, if there is one."""
    select = PLAN["finetune", wildcards.finetune].upstream.get("select")
    for variant in PLAN.variants["describe_selection"].values():
        if select and variant.upstream["select"].key == select.key:
            return f"{variant.folder}/page.html"


def of_system(name):
    """Whether a training is that of a system."""
    return lambda variant: variant.settings.arm.system == name


def has_model_card(training):
    return training.settings.card.has_model_card


def model_cards():
    """The card of every model that gets one."""
    return [f"{variant.folder}/README.md" for variant in PLAN.described_models()]


def what_is_planned(wildcards, threads):
    """A params function: all that provenance.json says and no job finds out."""
    # As in `computation_of`: a setting that nothing reads runs nothing again, not this either.
    return planned(PLAN, SETTINGS)


def closing_words():
    """What a finished run says: the table of arms, how they compare and where to look further."""
    tables = [Path(EXPERIMENT, name) for name in ("summary.csv", "verdicts.csv")]
    if not all(map(Path.exists, tables)):
        return "Done; the tables of this experiment are not written yet."
    summary, verdicts = map(read_table, tables)
    scores = score_lines(summary, SETTINGS.evaluate.metric)
    told = [scores, "\n".join(verdicts["sentence"]), f"{EXPERIMENT}/report.html"]
    return "\n" + "\n\n".join(filter(None, told))


wildcard_constraints:
    demo_corpus=one_of("demo_corpus"),
    manifest=one_of("manifest"),
    divide_folds=one_of("divide_folds"),
    schedule_examples=one_of("schedule_examples"),
    fit_tokenizer=one_of("fit_tokenizer"),
    tokenize_audio=one_of("tokenize_audio"),
    encode_audio=one_of("encode_audio"),
    build_bow=one_of("build_bow"),
    fit_path=one_of("fit_path"),
    select_tokens=one_of("select_tokens"),
    describe_selection=one_of("describe_selection"),
    token_texts=one_of("token_texts"),
    answer_instructions=one_of("answer_instructions"),
    adapt_lm=one_of("adapt_lm"),
    predict=one_of("predict"),
    evaluate=one_of("evaluate"),
    shard=r"\d+",
    n_shards=r"\d+",
