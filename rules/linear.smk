"""Light systems: learn the task and predict in one job."""

for card, rule_name in systems_of("fit_linear"):

    rule:
        name:
            rule_name
        input:
            unpack(inputs_of("fit_linear")),
            data=data_files("fit_linear"),
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
            fit_linear=one_of("fit_linear", of_system(card.name)),
        conda:
            "../envs/light.yaml"
        resources:
            mem_mb=growing(card.mem_mb),
            runtime=growing(card.runtime),
        params:
            spec=spec_of("fit_linear"),
        message:
            "Learning the task: {wildcards.fit_linear}"
        script:
            "../workflow_scripts/fit_linear.py"
