"""Light systems: learn the task and predict in one job."""

for card, rule_name, stage in systems_of("fit_linear"):

    rule:
        name:
            rule_name
        input:
            unpack(inputs_of(stage)),
            data=data_files(stage),
        output:
            multiext("results/fit_linear/{fit_linear}/", *card.files, *card.records),
            predictions="results/fit_linear/{fit_linear}/predictions.parquet",
            training="results/fit_linear/{fit_linear}/training.json",
            spec="results/fit_linear/{fit_linear}/spec.json",
        log:
            "logs/fit_linear/{fit_linear}.log",
        benchmark:
            "benchmarks/fit_linear/{fit_linear}.tsv"
        wildcard_constraints:
            fit_linear=one_of(stage, card.name),
        conda:
            "../envs/light.yaml"
        resources:
            mem_mb=card.mem_mb,
            runtime=card.runtime,
        params:
            spec=spec_of(stage),
        message:
            "Learning the task: {wildcards.fit_linear}"
        script:
            "../workflow_scripts/fit_linear.py"
