"""Evaluate each run, then summarise them all."""


rule evaluate:
    input:
        predictions=upstream("evaluate", "predictions", "predictions.parquet"),
    output:
        metrics="results/evaluate/{evaluate}/metrics.json",
        spec="results/evaluate/{evaluate}/spec.json",
    log:
        "logs/evaluate/{evaluate}.log",
    benchmark:
        "benchmarks/evaluate/{evaluate}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=spec_of("evaluate"),
    message:
        "Scoring {wildcards.evaluate}"
    script:
        "../workflow_scripts/evaluate.py"


rule summarise:
    input:
        PLAN.run_files(),
    output:
        runs=f"{EXPERIMENT}/runs.csv",
        summary=report(
            f"{EXPERIMENT}/summary.csv",
            caption="report/summary.rst",
            category="Results",
        ),
        index=f"{EXPERIMENT}/index.tsv",
    log:
        f"logs/experiments/{PLAN.experiment}-summarise.log",
    benchmark:
        f"benchmarks/experiments/{PLAN.experiment}-summarise.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        runs=PLAN.index(),
        metric=SETTINGS.evaluate.metric,
    message:
        "Summarising {PLAN.experiment}"
    script:
        "../workflow_scripts/summarise.py"
