# Items from free web text: sources → candidates, one job a shard → sentences → items. Reading,
# filtering and the first selection are one pass, as a page is filtered faster than it is written down.


checkpoint webtext_listing:
    input:
        listings=[
            listing.source.name
            for listing in LISTINGS
            if listing.source.kind == "local"
        ],
        library=code("workflow/scripts/webtext_listing.py"),
    output:
        listed=f"{RESULTS}/benchmark/webtext/listed.json",
    log:
        f"{RESULTS}/logs/webtext_listing.log",
    benchmark:
        f"{RESULTS}/timings/webtext_listing.tsv"
    conda:
        ENV
    params:
        sources=[
            s for s in WEBTEXT["sources"] if isinstance(s, dict) and "listing" in s
        ],
    script:
        "../scripts/webtext_listing.py"


rule webtext_fetch:
    output:
        file=temp(f"{RESULTS}/benchmark/webtext/fetched/{{key}}"),
    log:
        f"{RESULTS}/logs/webtext_fetch/{{key}}.log",
    benchmark:
        f"{RESULTS}/timings/webtext_fetch/{{key}}.tsv"
    conda:
        ENV
    params:
        url=lambda w: webtext_remote(w).name,
        sha256=lambda w: webtext_remote(w).sha256,
    script:
        "../scripts/webtext_fetch.py"


rule webtext_candidates:
    input:
        files=webtext_files,
        blocklist="resources/webtext/blocklist.txt",
        library=code("workflow/scripts/webtext_candidates.py"),
    output:
        candidates=f"{RESULTS}/benchmark/webtext/candidates-{{shard}}.parquet",
        funnel=f"{RESULTS}/benchmark/webtext/funnel-{{shard}}.json",
    log:
        f"{RESULTS}/logs/webtext_candidates/{{shard}}.log",
    benchmark:
        f"{RESULTS}/timings/webtext_candidates/{{shard}}.tsv"
    conda:
        ENV
    params:
        sources=webtext_sources,
        rules={
            key: WEBTEXT[key]
            for key in ("read", "documents", "sentences", "gate", "stems", "keep")
        },
        licences=WEBTEXT["licences"],
    script:
        "../scripts/webtext_candidates.py"


rule webtext_sentences:
    input:
        candidates=webtext_shard_files("candidates-{}.parquet"),
        funnels=webtext_shard_files("funnel-{}.json"),
        coefficients="resources/webtext/valence.json",
        plain_words="resources/webtext/plain_words.yaml",
        library=code("workflow/scripts/webtext_sentences.py"),
    output:
        sentences=f"{RESULTS}/benchmark/webtext_sentences.parquet",
        funnel=f"{RESULTS}/benchmark/webtext/funnel.json",
    log:
        f"{RESULTS}/logs/webtext_sentences.log",
    benchmark:
        f"{RESULTS}/timings/webtext_sentences.tsv"
    conda:
        ENV
    resources:
        gpu=WEBTEXT["judge"].get("gpus", 0),
    params:
        rules={key: WEBTEXT[key] for key in ("keep", "near_duplicate", "judge")},
    script:
        "../scripts/webtext_sentences.py"


rule webtext_items:
    input:
        sentences=f"{RESULTS}/benchmark/webtext_sentences.parquet",
        funnel=f"{RESULTS}/benchmark/webtext/funnel.json",
        library=code("workflow/scripts/webtext_items.py"),
    output:
        item_table=f"{RESULTS}/benchmark/webtext.parquet",
        funnel=f"{RESULTS}/benchmark/webtext_funnel.json",
    log:
        f"{RESULTS}/logs/webtext_items.log",
    benchmark:
        f"{RESULTS}/timings/webtext_items.tsv"
    conda:
        ENV
    resources:
        gpu=WEBTEXT["embedding"].get("gpus", 0),
    params:
        limit=config.get("limit"),
        embedding=WEBTEXT["embedding"],
        pairing={key: WEBTEXT[key] for key in ("per_stem", "max_reuse", "tolerances")},
    script:
        "../scripts/webtext_items.py"


rule benchmark_release:
    input:
        item_table=f"{RESULTS}/benchmark/webtext.parquet",
        sentences=f"{RESULTS}/benchmark/webtext_sentences.parquet",
        funnel=f"{RESULTS}/benchmark/webtext_funnel.json",
        library=code("workflow/scripts/benchmark_release.py"),
    output:
        folder=directory(f"{RESULTS}/benchmark/release"),
    log:
        f"{RESULTS}/logs/benchmark_release.log",
    benchmark:
        f"{RESULTS}/timings/benchmark_release.tsv"
    conda:
        ENV
    params:
        settings=WEBTEXT,
    script:
        "../scripts/benchmark_release.py"
