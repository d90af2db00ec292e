# Scores → one item × cell matrix → estimates → verdicts.


rule estimate:
    input:
        scores=expand(
            f"{RESULTS}/scores/{{scorer}}/{{model}}.parquet",
            scorer=SCORERS,
            model=MODELS,
        ),
        measures=expand(f"{RESULTS}/measures/{{model}}.parquet", model=MODELS),
        thresholds=applied_thresholds,
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
        models=list(MODELS),
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
        thresholds=applied_thresholds,
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
        models=list(MODELS),
        primary=config["scoring"]["primary"],
        inference=config["inference"],
    script:
        "../scripts/judge_claims.py"


rule multiverse:
    input:
        **run_files(RESULTS),
        others=[
            file
            for folder in config["multiverse"]["results"]
            for files in run_files(folder).values()
            for file in files
        ],
        label_table=f"{RESULTS}/labels.parquet",
        claims=config["claims"],
        mitigations=config["mitigations"],
        thresholds=applied_thresholds,
        library=code("workflow/scripts/multiverse.py"),
    output:
        specifications=f"{RESULTS}/specifications.parquet",
    log:
        f"{RESULTS}/logs/multiverse.log",
    benchmark:
        f"{RESULTS}/timings/multiverse.tsv"
    conda:
        ENV
    params:
        metrics=config["metrics"],
        primary=config["scoring"]["primary"],
        inference=config["inference"],
        others=[run_files(folder) for folder in config["multiverse"]["results"]],
    script:
        "../scripts/multiverse.py"


rule calibrate:
    input:
        claims=config["claims"],
        library=code("workflow/scripts/calibrate.py"),
    output:
        records=f"{RESULTS}/calibration/{{scenario}}.parquet",
    log:
        f"{RESULTS}/logs/calibrate/{{scenario}}.log",
    benchmark:
        f"{RESULTS}/timings/calibrate/{{scenario}}.tsv"
    conda:
        ENV
    params:
        **config["calibration"],
    script:
        "../scripts/calibrate.py"


rule components:
    input:
        scores=expand(
            f"{RESULTS}/scores/{config['scoring']['primary']}/{{model}}.parquet",
            model=MODELS,
        ),
        label_table=f"{RESULTS}/labels.parquet",
        claims=config["claims"],
        mitigations=config["mitigations"],
        thresholds=applied_thresholds,
        library=code("workflow/scripts/components.py"),
    output:
        components=f"{RESULTS}/components.json",
    log:
        f"{RESULTS}/logs/components.log",
    benchmark:
        f"{RESULTS}/timings/components.tsv"
    conda:
        ENV
    params:
        metrics=config["metrics"],
        inference=config["inference"],
    script:
        "../scripts/components.py"
