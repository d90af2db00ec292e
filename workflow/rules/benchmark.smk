# Items from three sources, one schema (those of web text: webtext.smk); then prompts.


rule curated_items:
    input:
        stems=config["benchmark"]["curated"]["stems"],
        injections=config["benchmark"]["curated"]["injections"],
        library=code("workflow/scripts/curated_items.py"),
    output:
        item_table=f"{RESULTS}/benchmark/curated.parquet",
    log:
        f"{RESULTS}/logs/curated_items.log",
    benchmark:
        f"{RESULTS}/timings/curated_items.tsv"
    conda:
        ENV
    params:
        limit=config.get("limit"),
        per_stem=config["benchmark"]["curated"]["per_stem"],
        tolerances=config["benchmark"]["curated"]["tolerances"],
    script:
        "../scripts/curated_items.py"


rule grammar_items:
    input:
        grammar=config["organism"]["grammar"],
        library=code("workflow/scripts/grammar_items.py"),
    output:
        item_table=f"{RESULTS}/benchmark/grammar.parquet",
    log:
        f"{RESULTS}/logs/grammar_items.log",
    benchmark:
        f"{RESULTS}/timings/grammar_items.tsv"
    conda:
        ENV
    params:
        limit=config.get("limit"),
        held_out=config["organism"]["world"]["held_out"],
        counts=config["benchmark"]["grammar"],
    script:
        "../scripts/grammar_items.py"


rule balance:
    input:
        item_table=expand(
            f"{RESULTS}/benchmark/{{source}}.parquet", source=item_sources()
        ),
        library=code("workflow/scripts/balance.py"),
    output:
        balance=f"{RESULTS}/benchmark/balance.csv",
    log:
        f"{RESULTS}/logs/balance.log",
    benchmark:
        f"{RESULTS}/timings/balance.tsv"
    conda:
        ENV
    script:
        "../scripts/balance.py"


rule prompts:
    input:
        item_table=f"{RESULTS}/benchmark/{{source}}.parquet",
        mitigations=config["mitigations"],
        library=code("workflow/scripts/prompts.py"),
    output:
        prompts=f"{RESULTS}/prompts/{{source}}-{{wording}}{{few}}.parquet",
    log:
        f"{RESULTS}/logs/prompts/{{source}}-{{wording}}{{few}}.log",
    benchmark:
        f"{RESULTS}/timings/prompts/{{source}}-{{wording}}{{few}}.tsv"
    conda:
        ENV
    params:
        limit=lambda w: int(w.few[1:]) if w.few else None,
    script:
        "../scripts/prompts.py"
