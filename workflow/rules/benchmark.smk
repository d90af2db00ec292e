# Items from three sources, one schema; then prompts.


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


rule webtext_items:
    input:
        files=[
            s for s in config["benchmark"]["webtext"]["sources"] if isinstance(s, str)
        ],
        blocklist="resources/webtext/blocklist.txt",
        library=code("workflow/scripts/webtext_items.py"),
    output:
        item_table=f"{RESULTS}/benchmark/webtext.parquet",
        sentences=f"{RESULTS}/benchmark/webtext_sentences.parquet",
        funnel=f"{RESULTS}/benchmark/webtext_funnel.json",
    log:
        f"{RESULTS}/logs/webtext_items.log",
    benchmark:
        f"{RESULTS}/timings/webtext_items.tsv"
    conda:
        ENV
    params:
        datasets=[
            s for s in config["benchmark"]["webtext"]["sources"] if isinstance(s, dict)
        ],
        limit=config.get("limit"),
        per_stem=config["benchmark"]["webtext"]["per_stem"],
        tolerances=config["benchmark"]["webtext"]["tolerances"],
    script:
        "../scripts/webtext_items.py"


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
        prompts=f"{RESULTS}/prompts/{{source}}-{{wording}}.parquet",
    log:
        f"{RESULTS}/logs/prompts/{{source}}-{{wording}}.log",
    benchmark:
        f"{RESULTS}/timings/prompts/{{source}}-{{wording}}.tsv"
    conda:
        ENV
    script:
        "../scripts/prompts.py"
