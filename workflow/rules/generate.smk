# One job a model. A model that needs a rule of its own: `use rule generate as generate_x with:`,
# see docs/models.md.


rule corpus:
    input:
        grammar=config["organism"]["grammar"],
        library=code("workflow/scripts/corpus.py"),
    output:
        corpus=f"{RESULTS}/organisms/corpus-{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/corpus/{{seed}}.log",
    benchmark:
        f"{RESULTS}/timings/corpus/{{seed}}.tsv"
    conda:
        ENV
    params:
        world=config["organism"]["world"],
        texts=config["organism"]["training"]["texts"],
    script:
        "../scripts/corpus.py"


rule train_organism:
    input:
        grammar=config["organism"]["grammar"],
        corpus=lambda w: f"{RESULTS}/organisms/corpus-{entry(w)['organism']['seed']}.parquet",
        library=code("workflow/scripts/train_organism.py"),
    output:
        folder=directory(f"{RESULTS}/organisms/{{model}}"),
    log:
        f"{RESULTS}/logs/train_organism/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/train_organism/{{model}}.tsv"
    conda:
        ENV
    resources:
        mem_mb=2000,
    params:
        organism=lambda w: entry(w)["organism"],
        training=config["organism"]["training"],
    script:
        "../scripts/train_organism.py"


rule generate:
    input:
        prompts=prompt_files,
        organism=model_folder,
        library=code("workflow/scripts/generate.py"),
    output:
        generations=f"{RESULTS}/generations/{{model}}.parquet",
    log:
        f"{RESULTS}/logs/generate/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/generate/{{model}}.tsv"
    conda:
        ENV
    threads: lambda w: entry(w)["threads"]
    resources:
        gpu=lambda w: entry(w)["gpus"],
        mem_mb=lambda w: entry(w)["mem_mb"],
    params:
        entry=entry,
        sampling=config["sampling"],
    script:
        "../scripts/generate.py"
