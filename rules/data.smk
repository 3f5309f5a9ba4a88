"""Data: the demo corpus, the checked manifest, the folds."""


rule demo_corpus:
    output:
        table="results/corpus/{corpus}/manifest.csv",
        clips=directory("results/corpus/{corpus}/wav"),
        spec="results/corpus/{corpus}/spec.json",
    log:
        "logs/corpus/{corpus}.log",
    benchmark:
        "benchmarks/corpus/{corpus}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("corpus"),
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
        mem_mb=2000,
        runtime=60,
    params:
        spec=spec_of("manifest"),
        computation=computation_of("manifest"),
    message:
        "Checking every clip of {wildcards.manifest}"
    script:
        "../workflow_scripts/manifest.py"


rule divide_folds:
    input:
        manifest=upstream("folds", "manifest", "manifest.parquet"),
    output:
        folds="results/folds/{folds}/folds.parquet",
        spec="results/folds/{folds}/spec.json",
    log:
        "logs/folds/{folds}.log",
    benchmark:
        "benchmarks/folds/{folds}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=spec_of("folds"),
    message:
        "Dividing utterances into training, validation and test"
    script:
        "../workflow_scripts/divide_folds.py"
