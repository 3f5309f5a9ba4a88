"""Light systems: learn the task and predict in one job."""

for card, rule_name, stage in systems_of("fit_linear"):

    rule:
        name:
            rule_name
        input:
            unpack(inputs_of(stage)),
            data=data_files(stage),
        output:
            multiext("results/linear/{linear}/", *card.files, *card.records),
            predictions="results/linear/{linear}/predictions.parquet",
            training="results/linear/{linear}/training.json",
            spec="results/linear/{linear}/spec.json",
        log:
            "logs/linear/{linear}.log",
        benchmark:
            "benchmarks/linear/{linear}.tsv"
        wildcard_constraints:
            linear=one_of(stage, card.name),
        conda:
            "../envs/light.yaml"
        resources:
            mem_mb=card.mem_mb,
            runtime=card.runtime,
        params:
            spec=spec_of(stage),
        message:
            "Learning the task: {wildcards.linear}"
        script:
            "../workflow_scripts/fit_linear.py"
