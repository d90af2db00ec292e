# What a continuation says, and how: neither needs the model that wrote it.


rule score:
    input:
        generations=f"{RESULTS}/generations/{{model}}.parquet",
        template=lambda w: SCORERS[w.scorer].get("prompt", []),
        library=code("workflow/scripts/score.py"),
    output:
        scores=f"{RESULTS}/scores/{{scorer}}/{{model}}.parquet",
    log:
        f"{RESULTS}/logs/score/{{scorer}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/score/{{scorer}}/{{model}}.tsv"
    conda:
        ENV
    threads: lambda w: (judge(w) or {}).get("threads", 1)
    resources:
        gpu=lambda w: (judge(w) or SCORERS[w.scorer]).get("gpus", 0),
        mem_mb=lambda w: (judge(w) or {}).get("mem_mb", 2000),
    params:
        scorer=lambda w: SCORERS[w.scorer],
        judge=lambda w: judge(w) and what_decides_samples(judge(w)),
        sentences=config["scoring"]["sentences"],
    script:
        "../scripts/score.py"


rule score_gold:
    input:
        gold=config["gold"],
        template=lambda w: SCORERS[w.scorer].get("prompt", []),
        library=code("workflow/scripts/score_gold.py"),
    output:
        scores=f"{RESULTS}/gold/{{scorer}}.parquet",
    log:
        f"{RESULTS}/logs/score_gold/{{scorer}}.log",
    benchmark:
        f"{RESULTS}/timings/score_gold/{{scorer}}.tsv"
    conda:
        ENV
    threads: lambda w: (judge(w) or {}).get("threads", 1)
    resources:
        gpu=lambda w: (judge(w) or SCORERS[w.scorer]).get("gpus", 0),
        mem_mb=lambda w: (judge(w) or {}).get("mem_mb", 2000),
    params:
        scorer=lambda w: SCORERS[w.scorer],
        judge=lambda w: judge(w) and what_decides_samples(judge(w)),
        sentences=config["scoring"]["sentences"],
    script:
        "../scripts/score_gold.py"


rule gold_agreement:
    input:
        gold=config["gold"],
        scores=expand(f"{RESULTS}/gold/{{scorer}}.parquet", scorer=SCORERS),
        library=code("workflow/scripts/gold_agreement.py"),
    output:
        agreement=f"{RESULTS}/gold_agreement.parquet",
    log:
        f"{RESULTS}/logs/gold_agreement.log",
    benchmark:
        f"{RESULTS}/timings/gold_agreement.tsv"
    conda:
        ENV
    params:
        tau=config["metrics"]["tau"],
        inference=config["inference"],
    script:
        "../scripts/gold_agreement.py"


rule measure:
    input:
        generations=f"{RESULTS}/generations/{{model}}.parquet",
        library=code("workflow/scripts/measure.py"),
    output:
        measures=f"{RESULTS}/measures/{{model}}.parquet",
    log:
        f"{RESULTS}/logs/measure/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/measure/{{model}}.tsv"
    conda:
        ENV
    resources:
        gpu=config["scoring"]["relatedness"]["gpus"],
    params:
        relatedness=config["scoring"]["relatedness"],
        sentences=config["scoring"]["sentences"],
    script:
        "../scripts/measure.py"


rule organism_facts:
    input:
        folders=expand(f"{RESULTS}/organisms/{{model}}", model=ORGANISMS),
        generations=expand(f"{RESULTS}/generations/{{model}}.parquet", model=ORGANISMS),
        grammar=config["organism"]["grammar"],
        library=code("workflow/scripts/organism_facts.py"),
    output:
        facts=f"{PAPER}/tables/organisms.csv",
    log:
        f"{RESULTS}/logs/organism_facts.log",
    benchmark:
        f"{RESULTS}/timings/organism_facts.tsv"
    conda:
        ENV
    script:
        "../scripts/organism_facts.py"
