# Before anything is generated: `snakemake --cores 1 plan` says what the configured study can find.


rule plan:
    input:
        item_tables=expand(
            f"{RESULTS}/benchmark/{{source}}.parquet", source=item_sources()
        ),
        claims=config["claims"],
        library=code("workflow/scripts/plan.py"),
    log:
        f"{RESULTS}/logs/plan.log",
        # Logs, not outputs: so it runs, and prints, whenever it is asked for.
        plan=f"{RESULTS}/plan.json",
        page=f"{RESULTS}/plan.md",
    conda:
        ENV
    params:
        entries=MODELS,
        asked=ASKED,
        limits=config["benchmark"]["items"],
        sampling=config["sampling"],
        labels=config["labels"],
        inference=config["inference"],
        prompts=WORDED,
        # No input, or the study would run before it is planned: read if a run has left it.
        components=f"{RESULTS}/components.json",
    script:
        "../scripts/plan.py"
