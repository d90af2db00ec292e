# What a continuation says, and how: neither needs the model that wrote it.


rule score:
    input:
        generations=f"{RESULTS}/generations/{{model}}.parquet",
        template=lambda w: SCORERS[w.scorer].get("prompt", []),
        library=room("scoring", "models/entry", "models/local"),
    output:
        scores=f"{RESULTS}/scores/{{scorer}}/{{model}}.parquet",
    log:
        f"{RESULTS}/logs/score/{{scorer}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/score/{{scorer}}/{{model}}.tsv"
    params:
        scorer=lambda w: SCORERS[w.scorer],
        judge=lambda w: MODELS.get(SCORERS[w.scorer].get("model")),
        sentences=config["scoring"]["sentences"],
    resources:
        gpu=lambda w: int(SCORERS[w.scorer]["kind"] != "vader" and "gpu" in SCORERS[w.scorer]),
    conda:
        ENV
    script:
        "../scripts/score.py"


rule measure:
    input:
        generations=f"{RESULTS}/generations/{{model}}.parquet",
        library=room("scoring"),
    output:
        measures=f"{RESULTS}/measures/{{model}}.parquet",
    log:
        f"{RESULTS}/logs/measure/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/measure/{{model}}.tsv"
    params:
        relatedness=config["scoring"]["relatedness"],
        sentences=config["scoring"]["sentences"],
    conda:
        ENV
    script:
        "../scripts/measure.py"
