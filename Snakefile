"""speechlasso: add speech to a text language model, cheaply. See README.md and config.yaml."""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/tokenize.smk"
include: "rules/select.smk"
include: "rules/language_model.smk"
include: "rules/linear.smk"
include: "rules/evaluate.smk"
include: "rules/analyse.smk"
include: "rules/provenance.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        f"{EXPERIMENT}/summary.csv",
        f"{EXPERIMENT}/tables/scores.md",
        f"{EXPERIMENT}/tables/scores.tex",
        multiext(
            f"{EXPERIMENT}/",
            "audio_effect.csv",
            "errors.csv",
            "errors_by_group.csv",
            "groups.csv",
            "example_clips.parquet",
        ),
        f"{EXPERIMENT}/report.html",
        f"{EXPERIMENT}/provenance.json",
        PLAN.description_files(),
        model_cards(),


onstart:
    if TURN:
        TURN.close()  # now that Snakemake's lock is taken
    write_observations()


onsuccess:
    print(closing_words())


onerror:
    for told in killed_jobs(PLAN, STARTED):
        print(told)
