"""Systems that need torch: learn the new tokens, learn the task, predict."""


rule answer_instructions:
    input:
        # Words alone: nothing of the sound can be read here.
        texts=upstream("answer_instructions", "texts", "token_texts.parquet"),
        data=data_files("answer_instructions"),
    output:
        answers="results/answer_instructions/{answer_instructions}/answers.parquet",
        spec="results/answer_instructions/{answer_instructions}/spec.json",
    log:
        "logs/answer_instructions/{answer_instructions}.log",
    benchmark:
        "benchmarks/answer_instructions/{answer_instructions}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        training=1,
    params:
        spec=spec_of("answer_instructions"),
        computation=computation_of("answer_instructions"),
    message:
        "The language model answers about transcripts: {wildcards.answer_instructions}"
    script:
        "../workflow_scripts/answer_instructions.py"


rule adapt_lm:
    input:
        token_texts=upstream("adapt_lm", "token_texts", "token_texts.parquet"),
        answers=upstream("adapt_lm", "answers", "answers.parquet"),
        select=upstream("adapt_lm", "select", "selection.json"),
        centroids=upstream("adapt_lm", "centroids", "centroids.npy"),
        data=data_files("adapt_lm"),
        corpus=upstream("adapt_lm", "corpus", "manifest.parquet"),
        manifest=upstream("adapt_lm", "manifest", "manifest.parquet"),
        folds=upstream("adapt_lm", "folds", "folds.parquet"),
        clips=clips_of_corpus_and_data,
    output:
        rows="results/adapt_lm/{adapt_lm}/rows.safetensors",
        overlap="results/adapt_lm/{adapt_lm}/overlap.json",
        anchor_bias="results/adapt_lm/{adapt_lm}/anchor_bias.json",
        training_log="results/adapt_lm/{adapt_lm}/training_log.csv",
        spec="results/adapt_lm/{adapt_lm}/spec.json",
    log:
        "logs/adapt_lm/{adapt_lm}.log",
    benchmark:
        "benchmarks/adapt_lm/{adapt_lm}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
        training=1,
    params:
        spec=spec_of("adapt_lm"),
        computation=computation_of("adapt_lm"),
    message:
        "Adapting the language model to the new tokens: {wildcards.adapt_lm}"
    script:
        "../workflow_scripts/adapt_lm.py"


for card, rule_name in systems_of("finetune"):

    rule:
        name:
            rule_name
        input:
            unpack(inputs_of("finetune")),
            specs=specs_behind("finetune"),
            data=data_files("finetune"),
        output:
            multiext("results/finetune/{finetune}/", *card.files, *card.records),
            training="results/finetune/{finetune}/training.json",
            recipe="results/finetune/{finetune}/speechlasso.json",
            spec="results/finetune/{finetune}/spec.json",
        log:
            "logs/finetune/{finetune}.log",
        benchmark:
            "benchmarks/finetune/{finetune}.tsv"
        wildcard_constraints:
            finetune=one_of("finetune", of_system(card.name)),
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=growing(card.mem_mb),
            runtime=growing(card.runtime),
            training=1,
        params:
            spec=spec_of("finetune"),
            computation=computation_of("finetune"),
        message:
            "Learning the task: {wildcards.finetune}"
        script:
            "../workflow_scripts/finetune.py"


rule predict:
    input:
        unpack(inputs_of("predict")),
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
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        spec=spec_of("predict"),
    message:
        "Predicting: {wildcards.predict}"
    script:
        "../workflow_scripts/predict.py"
