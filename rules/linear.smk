"""The cheap baseline: logistic regression on the bag of words."""


rule fit_linear:
    input:
        bow=all_files("linear", "bow"),
        selection=upstream("linear", "select", "selection.json"),
    output:
        predictions="results/linear/{linear}/predictions.parquet",
        training="results/linear/{linear}/training.json",
        spec="results/linear/{linear}/spec.json",
    log:
        "logs/linear/{linear}.log",
    benchmark:
        "benchmarks/linear/{linear}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec_of("linear"),
    message:
        "Fitting the linear baseline: {wildcards.linear}"
    script:
        "../workflow_scripts/fit_linear.py"
