# Before any GPU is spent: `snakemake --cores 1 preflight` checks every model's entry and says what
# it will take. Nothing depends on it. With -f it asks again, as a hub or a machine may have changed.


rule preflight:
    input:
        grammar=config["organism"]["grammar"],
        prompts=sorted(
            {
                f"{RESULTS}/prompts/{name}.parquet"
                for names in PROMPTS.values()
                for name in names
            }
        ),
        folders=expand(f"{RESULTS}/packages/{{model}}", model=PACKAGED),
        library=code("workflow/scripts/preflight.py"),
    output:
        table=f"{RESULTS}/preflight.csv",
    log:
        f"{RESULTS}/logs/preflight.log",
        # A log, for Snakemake deletes what a failed job has put out, and this says why it failed.
        text=f"{RESULTS}/preflight.txt",
    benchmark:
        f"{RESULTS}/timings/preflight.tsv"
    conda:
        ENV
    resources:
        mem_mb=2000,
    params:
        entries=MODELS,
        asked=PROMPTS,
        sampling=config["sampling"],
    script:
        "../scripts/preflight.py"
