"""From codes to token texts: count, select, write down."""


rule build_bow:
    input:
        manifest=upstream("bow", "manifest", "manifest.parquet"),
        folds=upstream("bow", "folds", "folds.parquet"),
        codes=upstream_shards("bow"),
    output:
        multiext(
            "results/bow/{bow}/",
            "rows.parquet",
            "audio_counts.npz",
            "text_counts.npz",
            "vocabulary.json",
        ),
        spec="results/bow/{bow}/spec.json",
    log:
        "logs/bow/{bow}.log",
    benchmark:
        "benchmarks/bow/{bow}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec_of("bow"),
    message:
        "Counting words and audio tokens"
    script:
        "../workflow_scripts/build_bow.py"


rule select_tokens:
    input:
        bow=upstream("select", "bow", "spec.json"),
        like=upstream("select", "like", "selection.json"),
    output:
        selection=report(
            "results/select/{select}/selection.json",
            caption="report/selection.rst",
            category="Selection",
        ),
        spec="results/select/{select}/spec.json",
    log:
        "logs/select/{select}.log",
    benchmark:
        "benchmarks/select/{select}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec_of("select"),
    message:
        "Selecting audio tokens: {wildcards.select}"
    script:
        "../workflow_scripts/select_tokens.py"


rule token_texts:
    input:
        manifest=upstream("token_texts", "manifest", "manifest.parquet"),
        folds=upstream("token_texts", "folds", "folds.parquet"),
        codes=upstream_shards("token_texts"),
        selection=upstream("token_texts", "select", "selection.json"),
    output:
        token_texts="results/token_texts/{token_texts}/token_texts.parquet",
        spec="results/token_texts/{token_texts}/spec.json",
    log:
        "logs/token_texts/{token_texts}.log",
    benchmark:
        "benchmarks/token_texts/{token_texts}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec_of("token_texts"),
    message:
        "Writing token texts: {wildcards.token_texts}"
    script:
        "../workflow_scripts/token_texts.py"
