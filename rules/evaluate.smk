"""Evaluate each run, describe its model, then summarise all runs."""


rule evaluate:
    input:
        unpack(inputs_of("evaluate")),
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
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec_of("evaluate"),
    message:
        "Scoring {wildcards.evaluate}"
    script:
        "../workflow_scripts/evaluate.py"


rule model_card:
    input:
        specs=specs_behind("finetune"),
        adapt=upstream("finetune", "adapt", "spec.json"),
        overlap=upstream("finetune", "adapt", "overlap.json"),
        finetune="results/finetune/{finetune}/spec.json",
        training="results/finetune/{finetune}/training.json",
        training_log="results/finetune/{finetune}/training_log.csv",
        config="results/finetune/{finetune}/config.json",
        selection=upstream("finetune", "select", "selection.json"),
        metrics=metrics_of_model,
    output:
        card="results/finetune/{finetune}/README.md",
    log:
        "logs/finetune/{finetune}-card.log",
    benchmark:
        "benchmarks/finetune/{finetune}-card.tsv"
    wildcard_constraints:
        finetune=one_of("finetune", has_model_card),
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        name=lambda wildcards: wildcards.finetune,
        page=page_of_model,
        modules=SETTINGS.evaluate.modules,
    message:
        "Writing the model card of {wildcards.finetune}"
    script:
        "../workflow_scripts/model_card.py"


rule summarise:
    input:
        PLAN.run_files(),
        PLAN.test_row_files(),
    output:
        runs=f"{EXPERIMENT}/runs.csv",
        summary=report(
            f"{EXPERIMENT}/summary.csv",
            caption="report/summary.rst",
            category="Results",
        ),
        verdicts=report(
            f"{EXPERIMENT}/verdicts.csv",
            caption="report/verdicts.rst",
            category="Results",
        ),
        confusion=f"{EXPERIMENT}/confusion.csv",
        index=f"{EXPERIMENT}/index.tsv",
        markdown=report(
            f"{EXPERIMENT}/tables/scores.md",
            caption="report/scores.rst",
            category="Results",
        ),
        latex=report(
            f"{EXPERIMENT}/tables/scores.tex",
            caption="report/scores.rst",
            category="Results",
        ),
    log:
        f"logs/experiments/{PLAN.experiment}-summarise.log",
    benchmark:
        f"benchmarks/experiments/{PLAN.experiment}-summarise.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        experiment=PLAN.experiment,
        runs=PLAN.index(),
        chosen_on=SETTINGS.dataset.folds.chosen_on,
        metric=SETTINGS.evaluate.metric,
        reads=PLAN.reads(),
        reference=SETTINGS.evaluate.reference,
        margin=SETTINGS.evaluate.margin,
        more_metrics=SETTINGS.evaluate.outside_metrics,
        modules=SETTINGS.evaluate.modules,
    message:
        "Summarising {PLAN.experiment}"
    script:
        "../workflow_scripts/summarise.py"
