# Blinded tasks out, people's labels in: docs/labels.md.


rule annotation_tasks:
    input:
        generations=expand(f"{RESULTS}/generations/{{model}}.parquet", model=MODELS),
        instructions="resources/annotation/instructions.md",
        library=code("workflow/scripts/annotation_tasks.py"),
    output:
        sheet=f"{RESULTS}/annotation/tasks.csv",
        label_studio=f"{RESULTS}/annotation/label_studio.json",
        labelling_config=f"{RESULTS}/annotation/label_studio.xml",
        instructions=f"{RESULTS}/annotation/instructions.md",
        key=f"{RESULTS}/annotation_key.parquet",
    log:
        f"{RESULTS}/logs/annotation_tasks.log",
    benchmark:
        f"{RESULTS}/timings/annotation_tasks.tsv"
    conda:
        ENV
    params:
        items_per_cell=config["labels"]["items_per_cell"],
        seed=config["labels"]["seed"],
    script:
        "../scripts/annotation_tasks.py"


rule ingest_labels:
    input:
        key=f"{RESULTS}/annotation_key.parquet",
        files=label_files,
        library=code("workflow/scripts/ingest_labels.py"),
    output:
        label_table=f"{RESULTS}/labels.parquet",
        rejected=f"{RESULTS}/annotation/rejected.csv",
        report=f"{RESULTS}/annotation/ingest_report.json",
    log:
        f"{RESULTS}/logs/ingest_labels.log",
    benchmark:
        f"{RESULTS}/timings/ingest_labels.tsv"
    conda:
        ENV
    params:
        seed=config["labels"]["seed"],
        patterns=config["labels"]["files"],
    script:
        "../scripts/ingest_labels.py"
