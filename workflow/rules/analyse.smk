# Scores → one item × cell matrix → estimates → verdicts.


rule estimate:
    input:
        scores=expand(
            f"{RESULTS}/scores/{{scorer}}/{{model}}.parquet",
            scorer=SCORERS,
            model=MODELS,
        ),
        measures=expand(f"{RESULTS}/measures/{{model}}.parquet", model=MODELS),
        library=code("workflow/scripts/estimate.py"),
    output:
        estimates=f"{RESULTS}/estimates.parquet",
    log:
        f"{RESULTS}/logs/estimate.log",
    benchmark:
        f"{RESULTS}/timings/estimate.tsv"
    conda:
        ENV
    params:
        metrics=config["metrics"],
    script:
        "../scripts/estimate.py"


rule judge_claims:
    input:
        scores=expand(
            f"{RESULTS}/scores/{config['scoring']['primary']}/{{model}}.parquet",
            model=MODELS,
        ),
        measures=expand(f"{RESULTS}/measures/{{model}}.parquet", model=MODELS),
        generations=expand(f"{RESULTS}/generations/{{model}}.parquet", model=MODELS),
        label_table=f"{RESULTS}/labels.parquet",
        claims=config["claims"],
        mitigations=config["mitigations"],
        library=code("workflow/scripts/judge_claims.py"),
    output:
        claims=f"{RESULTS}/claims.json",
    log:
        f"{RESULTS}/logs/judge_claims.log",
    benchmark:
        f"{RESULTS}/timings/judge_claims.tsv"
    conda:
        ENV
    params:
        metrics=config["metrics"],
        primary=config["scoring"]["primary"],
        inference=config["inference"],
    script:
        "../scripts/judge_claims.py"
