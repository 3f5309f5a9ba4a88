"""One self-contained page that says whether speech helped, how sure that is, why, and at what cost."""


rule report:
    input:
        PLAN.run_files(),
        [path for paths in PLAN.overlap_files().values() for path in paths],
        [path for paths in PLAN.anchor_bias_files().values() for path in paths],
        [path for paths in PLAN.training_logs().values() for path in paths],
        PLAN.described_files(),
        runs=f"{EXPERIMENT}/runs.csv",
        summary=f"{EXPERIMENT}/summary.csv",
        verdicts=f"{EXPERIMENT}/verdicts.csv",
        audio_effect=f"{EXPERIMENT}/audio_effect.csv",
        errors=f"{EXPERIMENT}/errors.csv",
        errors_by_group=f"{EXPERIMENT}/errors_by_group.csv",
        groups=f"{EXPERIMENT}/groups.csv",
        clips=f"{EXPERIMENT}/example_clips.parquet",
        provenance=f"{EXPERIMENT}/provenance.json",
    output:
        report=report(
            f"{EXPERIMENT}/report.html",
            caption="report/report.rst",
            category="Results",
        ),
        figures=report(
            directory(f"{EXPERIMENT}/figures"),
            patterns=["{name}.svg"],
            caption="report/figures.rst",
            category="Figures",
        ),
    log:
        f"logs/experiments/{PLAN.experiment}-report.log",
    benchmark:
        f"benchmarks/experiments/{PLAN.experiment}-report.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        experiment=PLAN.experiment,
        runs=PLAN.index(),
        transductive_arms=PLAN.transductive_arms(),
        metric=SETTINGS.evaluate.metric,
        modules=SETTINGS.evaluate.modules,
        overlap_files=PLAN.overlap_files(),
        described=PLAN.described(),
        training_logs=PLAN.training_logs(),
        codec_layers=PLAN.codec_layers(),
        about=in_words(PLAN, SETTINGS),
        anchor_bias_files=PLAN.anchor_bias_files(),
    message:
        "Writing the report of {PLAN.experiment}"
    script:
        "../workflow_scripts/report.py"
