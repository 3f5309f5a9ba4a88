"""Where the results of an experiment come from, and what they took."""


rule provenance:
    input:
        PLAN.run_files(),
        clips=PLAN.clip_records(),
        summary=f"{EXPERIMENT}/summary.csv",
        # Whose costs are listed as well, so they come first; a new one changes no result.
        others=ancient([*PLAN.description_files(), *model_cards()]),
    output:
        provenance=report(
            f"{EXPERIMENT}/provenance.json",
            caption="report/provenance.rst",
            category="Results",
        ),
    log:
        f"logs/experiments/{PLAN.experiment}-provenance.log",
    benchmark:
        f"benchmarks/experiments/{PLAN.experiment}-provenance.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        runs=PLAN.index(),
        planned=what_is_planned,
    message:
        "Writing down where the results of {PLAN.experiment} come from"
    script:
        "../workflow_scripts/provenance.py"
