"""Tokenise audio: learn the tokenizer on training clips, then encode every utterance once."""


rule fit_tokenizer:
    input:
        manifest=upstream("tokenizer", "manifest", "manifest.parquet"),
        folds=upstream("tokenizer", "folds", "folds.parquet"),
    output:
        tokenizer="results/tokenizer/{tokenizer}/tokenizer.safetensors",
        spec="results/tokenizer/{tokenizer}/spec.json",
    log:
        "logs/tokenizer/{tokenizer}.log",
    benchmark:
        "benchmarks/tokenizer/{tokenizer}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec_of("tokenizer"),
    message:
        "Learning the speech tokenizer on the training clips"
    script:
        "../workflow_scripts/fit_tokenizer.py"


rule tokenize_audio:
    input:
        manifest=upstream("codes", "manifest", "manifest.parquet"),
        tokenizer=upstream("codes", "tokenizer", "tokenizer.safetensors"),
    output:
        codes="results/codes/{codes}/shard-{shard}.parquet",
        spec="results/codes/{codes}/shard-{shard}.spec.json",
    log:
        "logs/codes/{codes}-{shard}.log",
    benchmark:
        "benchmarks/codes/{codes}-{shard}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        spec=spec_of("codes"),
        n_shards=PLAN.n_shards,
    message:
        "Tokenising audio, shard {wildcards.shard}"
    script:
        "../workflow_scripts/tokenize_audio.py"
