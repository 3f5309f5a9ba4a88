"""Data: the demo corpus, the checked manifest, the folds, schedules of examples."""


rule demo_corpus:
    output:
        table="results/demo_corpus/{demo_corpus}/manifest.csv",
        clips=directory("results/demo_corpus/{demo_corpus}/wav"),
        spec="results/demo_corpus/{demo_corpus}/spec.json",
    log:
        "logs/demo_corpus/{demo_corpus}.log",
    benchmark:
        "benchmarks/demo_corpus/{demo_corpus}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of("demo_corpus"),
    message:
        "Synthesising the demo corpus"
    script:
        "../workflow_scripts/demo_corpus.py"


rule manifest:
    input:
        table=table_of_manifest,
        corpus=corpus_clips("manifest"),
    output:
        manifest="results/manifest/{manifest}/manifest.parquet",
        clips="results/manifest/{manifest}/clips.parquet",
        problems="results/manifest/{manifest}/problems.csv",
        spec="results/manifest/{manifest}/spec.json",
    log:
        "logs/manifest/{manifest}.log",
    benchmark:
        "benchmarks/manifest/{manifest}.tsv"
    conda:
        "../envs/light.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        spec=spec_of("manifest"),
        computation=computation_of("manifest"),
    message:
        "Checking every clip of {wildcards.manifest}"
    script:
        "../workflow_scripts/manifest.py"


rule divide_folds:
    input:
        manifest=upstream("divide_folds", "manifest", "manifest.parquet"),
    output:
        folds="results/divide_folds/{divide_folds}/folds.parquet",
        spec="results/divide_folds/{divide_folds}/spec.json",
    log:
        "logs/divide_folds/{divide_folds}.log",
    benchmark:
        "benchmarks/divide_folds/{divide_folds}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec_of("divide_folds"),
    message:
        "Dividing utterances into training, validation and test"
    script:
        "../workflow_scripts/divide_folds.py"


rule schedule_examples:
    input:
        manifest=upstream("schedule_examples", "manifest", "manifest.parquet"),
        folds=upstream("schedule_examples", "folds", "folds.parquet"),
    output:
        examples="results/schedule_examples/{schedule_examples}/examples.parquet",
        spec="results/schedule_examples/{schedule_examples}/spec.json",
    log:
        "logs/schedule_examples/{schedule_examples}.log",
    benchmark:
        "benchmarks/schedule_examples/{schedule_examples}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec_of("schedule_examples"),
    message:
        "Choosing which training rows are read with speech: {wildcards.schedule_examples}"
    script:
        "../workflow_scripts/schedule_examples.py"
