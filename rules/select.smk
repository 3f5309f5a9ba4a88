"""From codes to token texts: count, select, write down."""


rule build_bow:
    input:
        manifest=upstream("build_bow", "manifest", "manifest.parquet"),
        folds=upstream("build_bow", "folds", "folds.parquet"),
        codes=all_files("build_bow", "codes"),
    output:
        multiext("results/build_bow/{build_bow}/", *files_of("build_bow")),
        spec="results/build_bow/{build_bow}/spec.json",
    log:
        "logs/build_bow/{build_bow}.log",
    benchmark:
        "benchmarks/build_bow/{build_bow}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        spec=spec_of("build_bow"),
    message:
        "Counting words and audio tokens"
    script:
        "../workflow_scripts/build_bow.py"


rule fit_path:
    input:
        bow=all_files("fit_path", "bow"),
    output:
        multiext("results/fit_path/{fit_path}/", *files_of("fit_path")),
        spec="results/fit_path/{fit_path}/spec.json",
    log:
        "logs/fit_path/{fit_path}.log",
    benchmark:
        "benchmarks/fit_path/{fit_path}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        spec=spec_of("fit_path"),
    message:
        "Fitting the lasso along its path of alphas"
    script:
        "../workflow_scripts/fit_path.py"


rule select_tokens:
    input:
        bow=all_files("select_tokens", "bow"),
        path=all_files("select_tokens", "path"),
        like=upstream("select_tokens", "like", "selection.json"),
    output:
        selection="results/select_tokens/{select_tokens}/selection.json",
        spec="results/select_tokens/{select_tokens}/spec.json",
    log:
        "logs/select_tokens/{select_tokens}.log",
    benchmark:
        "benchmarks/select_tokens/{select_tokens}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        spec=spec_of("select_tokens"),
    message:
        "Selecting audio tokens: {wildcards.select_tokens}"
    script:
        "../workflow_scripts/select_tokens.py"


rule describe_selection:
    input:
        selection=upstream("describe_selection", "select", "selection.json"),
        bow=all_files("describe_selection", "bow"),
        path=all_files("describe_selection", "path"),
        manifest=upstream("describe_selection", "manifest", "manifest.parquet"),
        clips=upstream("describe_selection", "manifest", "clips.parquet"),
        corpus=corpus_clips("describe_selection"),
        codes=all_files("describe_selection", "codes"),
    output:
        page=report(
            "results/describe_selection/{describe_selection}/page.html",
            caption="report/selection.rst",
            category="Selection",
        ),
        tokens="results/describe_selection/{describe_selection}/tokens.parquet",
        occurrences="results/describe_selection/{describe_selection}/occurrences.parquet",
        listening="results/describe_selection/{describe_selection}/listening.parquet",
        spec="results/describe_selection/{describe_selection}/spec.json",
    log:
        "logs/describe_selection/{describe_selection}.log",
    benchmark:
        "benchmarks/describe_selection/{describe_selection}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        spec=spec_of("describe_selection"),
    message:
        "Gathering the evidence for {wildcards.describe_selection}"
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
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec_of("token_texts"),
    message:
        "Writing token texts: {wildcards.token_texts}"
    script:
        "../workflow_scripts/token_texts.py"
