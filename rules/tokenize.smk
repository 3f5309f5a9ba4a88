"""From audio to codes or frames: every utterance once, after learning the tokenizer if it is one that learns."""


rule fit_tokenizer:
    input:
        manifest=upstream("fit_tokenizer", "manifest", "manifest.parquet"),
        clips=recorded_clips("fit_tokenizer"),
        corpus=corpus_clips("fit_tokenizer"),
        folds=upstream("fit_tokenizer", "folds", "folds.parquet"),
        frames=all_files("fit_tokenizer", "frames"),
        data=data_files("fit_tokenizer"),
    output:
        tokenizer="results/fit_tokenizer/{fit_tokenizer}/tokenizer.safetensors",
        centroids="results/fit_tokenizer/{fit_tokenizer}/centroids.npy",
        spec="results/fit_tokenizer/{fit_tokenizer}/spec.json",
    log:
        "logs/fit_tokenizer/{fit_tokenizer}.log",
    benchmark:
        "benchmarks/fit_tokenizer/{fit_tokenizer}.tsv"
    conda:
        "../envs/codec.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        spec=spec_of("fit_tokenizer"),
    message:
        "Learning the speech tokenizer on the training clips"
    script:
        "../workflow_scripts/fit_tokenizer.py"


rule tokenize_audio:
    input:
        manifest=upstream("tokenize_audio", "manifest", "manifest.parquet"),
        clips=recorded_clips("tokenize_audio"),
        corpus=corpus_clips("tokenize_audio"),
        tokenizer=upstream("tokenize_audio", "tokenizer", "tokenizer.safetensors"),
        frames=all_files("tokenize_audio", "frames"),
        data=data_files("tokenize_audio"),
    output:
        codes="results/tokenize_audio/{tokenize_audio}/shard-{shard}-of-{n_shards}.parquet",
        spec="results/tokenize_audio/{tokenize_audio}/shard-{shard}-of-{n_shards}.spec.json",
    log:
        "logs/tokenize_audio/{tokenize_audio}-{shard}-of-{n_shards}.log",
    benchmark:
        "benchmarks/tokenize_audio/{tokenize_audio}-{shard}-of-{n_shards}.tsv"
    conda:
        "../envs/codec.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec_of("tokenize_audio"),
    message:
        "Tokenising audio, shard {wildcards.shard} of {wildcards.n_shards}"
    script:
        "../workflow_scripts/tokenize_audio.py"


rule encode_audio:
    input:
        manifest=upstream("encode_audio", "manifest", "manifest.parquet"),
        clips=upstream("encode_audio", "manifest", "clips.parquet"),
        corpus=corpus_clips("encode_audio"),
        data=data_files("encode_audio"),
    output:
        frames="results/encode_audio/{encode_audio}/shard-{shard}-of-{n_shards}.safetensors",
        spec="results/encode_audio/{encode_audio}/shard-{shard}-of-{n_shards}.spec.json",
    log:
        "logs/encode_audio/{encode_audio}-{shard}-of-{n_shards}.log",
    benchmark:
        "benchmarks/encode_audio/{encode_audio}-{shard}-of-{n_shards}.tsv"
    conda:
        "../envs/codec.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec_of("encode_audio"),
    message:
        "Running the speech encoder, shard {wildcards.shard} of {wildcards.n_shards}"
    script:
        "../workflow_scripts/encode_audio.py"
