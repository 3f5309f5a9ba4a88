"""The language model: learn the new tokens, learn the task, predict."""


rule adapt_lm:
    input:
        token_texts=upstream("adapt", "token_texts", "token_texts.parquet"),
        selection=selection_of_texts("adapt"),
        data=data_files("adapt"),
        corpus=upstream("adapt", "corpus", "manifest.parquet"),
        manifest=upstream("adapt", "manifest", "manifest.parquet"),
        folds=upstream("adapt", "folds", "folds.parquet"),
        clips=clips_of_corpus_and_data,
    output:
        rows="results/adapt/{adapt}/rows.safetensors",
        overlap="results/adapt/{adapt}/overlap.json",
        training_log="results/adapt/{adapt}/training_log.csv",
        spec="results/adapt/{adapt}/spec.json",
    log:
        "logs/adapt/{adapt}.log",
    benchmark:
        "benchmarks/adapt/{adapt}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
        training=1,
    params:
        spec=spec_of("adapt"),
        computation=computation_of("adapt"),
    message:
        "Adapting the language model to the new tokens: {wildcards.adapt}"
    script:
        "../workflow_scripts/adapt_lm.py"


rule finetune:
    input:
        token_texts=upstream("finetune", "token_texts", "token_texts.parquet"),
        selection=selection_of_texts("finetune"),
        rows=upstream("finetune", "adapt", "rows.safetensors"),
        speech_tokenizer=speech_tokenizer_of_texts("finetune"),
        specs=specs_of_texts("finetune"),
        data=data_files("finetune"),
    output:
        model=multiext("results/finetune/{finetune}/", *files_of("finetune")),
        training_log="results/finetune/{finetune}/training_log.csv",
        training="results/finetune/{finetune}/training.json",
        recipe="results/finetune/{finetune}/speechlasso.json",
        spec="results/finetune/{finetune}/spec.json",
    log:
        "logs/finetune/{finetune}.log",
    benchmark:
        "benchmarks/finetune/{finetune}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=480,
        training=1,
    params:
        spec=spec_of("finetune"),
        computation=computation_of("finetune"),
    message:
        "Fine-tuning the language model on the task: {wildcards.finetune}"
    script:
        "../workflow_scripts/finetune.py"


rule predict:
    input:
        token_texts=upstream("predict", "token_texts", "token_texts.parquet"),
        model=all_files("predict", "finetune"),
    output:
        predictions="results/predict/{predict}/predictions.parquet",
        spec="results/predict/{predict}/spec.json",
    log:
        "logs/predict/{predict}.log",
    benchmark:
        "benchmarks/predict/{predict}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec_of("predict"),
    message:
        "Predicting: {wildcards.predict}"
    script:
        "../workflow_scripts/predict.py"
