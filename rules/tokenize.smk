"""Tokenise audio: encode every utterance once, after learning the tokenizer if it is one that learns."""


rule fit_tokenizer:
    input:
        manifest=upstream("tokenizer", "manifest", "manifest.parquet"),
        clips=upstream("tokenizer", "manifest", "clips.parquet"),
        corpus=corpus_clips("tokenizer"),
        folds=upstream("tokenizer", "folds", "folds.parquet"),
        data=data_files("tokenizer"),
    output:
        tokenizer="results/tokenizer/{tokenizer}/tokenizer.safetensors",
        spec="results/tokenizer/{tokenizer}/spec.json",
    log:
        "logs/tokenizer/{tokenizer}.log",
    benchmark:
        "benchmarks/tokenizer/{tokenizer}.tsv"
    conda:
        "../envs/codec.yaml"
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
        clips=upstream("codes", "manifest", "clips.parquet"),
        corpus=corpus_clips("codes"),
        tokenizer=upstream("codes", "tokenizer", "tokenizer.safetensors"),
        data=data_files("codes"),
    output:
        codes="results/codes/{codes}/shard-{shard}-of-{n_shards}.parquet",
        spec="results/codes/{codes}/shard-{shard}-of-{n_shards}.spec.json",
    log:
        "logs/codes/{codes}-{shard}-of-{n_shards}.log",
    benchmark:
        "benchmarks/codes/{codes}-{shard}-of-{n_shards}.tsv"
    conda:
        "../envs/codec.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        spec=spec_of("codes"),
    message:
        "Tokenising audio, shard {wildcards.shard} of {wildcards.n_shards}"
    script:
        "../workflow_scripts/tokenize_audio.py"
