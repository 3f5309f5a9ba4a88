"""Systems that need torch: learn the new tokens, learn the task, predict."""


rule adapt_lm:
    input:
        token_texts=upstream("adapt", "token_texts", "token_texts.parquet"),
        select=upstream("adapt", "select", "selection.json"),
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


for card, rule_name, stage in systems_of("finetune"):

    rule:
        name:
            rule_name
        input:
            unpack(inputs_of(stage)),
            specs=specs_behind(stage),
            data=data_files(stage),
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
            finetune=one_of(stage, card.name),
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=card.mem_mb,
            runtime=card.runtime,
            training=1,
        params:
            spec=spec_of(stage),
            computation=computation_of(stage),
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
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec_of("predict"),
    message:
        "Predicting: {wildcards.predict}"
    script:
        "../workflow_scripts/predict.py"
