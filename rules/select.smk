"""From codes to token texts: count, select, write down."""


rule build_bow:
    input:
        manifest=upstream("bow", "manifest", "manifest.parquet"),
        folds=upstream("bow", "folds", "folds.parquet"),
        codes=all_files("bow", "codes"),
    output:
        multiext("results/bow/{bow}/", *files_of("bow")),
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


rule fit_path:
    input:
        bow=all_files("path", "bow"),
    output:
        multiext("results/path/{path}/", *files_of("path")),
        spec="results/path/{path}/spec.json",
    log:
        "logs/path/{path}.log",
    benchmark:
        "benchmarks/path/{path}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        spec=spec_of("path"),
    message:
        "Fitting the lasso along its path of alphas"
    script:
        "../workflow_scripts/fit_path.py"


rule select_tokens:
    input:
        bow=all_files("select", "bow"),
        path=all_files("select", "path"),
        like=upstream("select", "like", "selection.json"),
    output:
        selection="results/select/{select}/selection.json",
        spec="results/select/{select}/spec.json",
    log:
        "logs/select/{select}.log",
    benchmark:
        "benchmarks/select/{select}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        spec=spec_of("select"),
    message:
        "Selecting audio tokens: {wildcards.select}"
    script:
        "../workflow_scripts/select_tokens.py"


rule describe_selection:
    input:
        selection=upstream("description", "select", "selection.json"),
        bow=all_files("description", "bow"),
        path=all_files("description", "path"),
        manifest=upstream("description", "manifest", "manifest.parquet"),
        clips=upstream("description", "manifest", "clips.parquet"),
        corpus=corpus_clips("description"),
        codes=all_files("description", "codes"),
    output:
        page=report(
            "results/description/{description}/page.html",
            caption="report/selection.rst",
            category="Selection",
        ),
        tokens="results/description/{description}/tokens.parquet",
        occurrences="results/description/{description}/occurrences.parquet",
        spec="results/description/{description}/spec.json",
    log:
        "logs/description/{description}.log",
    benchmark:
        "benchmarks/description/{description}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        spec=spec_of("description"),
    message:
        "Gathering the evidence for {wildcards.description}"
    script:
        "../workflow_scripts/describe_selection.py"


rule token_texts:
    input:
        manifest=upstream("token_texts", "manifest", "manifest.parquet"),
        folds=upstream("token_texts", "folds", "folds.parquet"),
        codes=all_files("token_texts", "codes"),
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
