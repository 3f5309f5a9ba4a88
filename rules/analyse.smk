"""Why audio helps: what it changes, which errors it mends and makes, and in which rows."""


rule analyse:
    input:
        PLAN.tested_files(),
        summary=f"{EXPERIMENT}/summary.csv",
        corpus=[f"{v.folder}/wav" for v in PLAN.variants["demo_corpus"].values()],
    output:
        audio_effect=f"{EXPERIMENT}/audio_effect.csv",
        errors=report(
            f"{EXPERIMENT}/errors.csv",
            caption="report/errors.rst",
            category="Results",
        ),
        errors_by_group=f"{EXPERIMENT}/errors_by_group.csv",
        groups=f"{EXPERIMENT}/groups.csv",
        clips=f"{EXPERIMENT}/example_clips.parquet",
    log:
        f"logs/experiments/{PLAN.experiment}-analyse.log",
    benchmark:
        f"benchmarks/experiments/{PLAN.experiment}-analyse.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        runs=PLAN.index(),
        reads=PLAN.reads(),
        reference=SETTINGS.evaluate.reference,
        metric=SETTINGS.evaluate.metric,
        modules=SETTINGS.evaluate.modules,
    message:
        "Looking at what audio changes in {PLAN.experiment}"
    script:
        "../workflow_scripts/analyse.py"
