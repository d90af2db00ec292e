# Blinded tasks out, people's labels in, and what they are worth: docs/labels.md.


rule annotation_tasks:
    input:
        generations=expand(f"{RESULTS}/generations/{{model}}.parquet", model=MODELS),
        checks=config["labels"]["checks"],
        instructions="resources/annotation/instructions.typ",
        library=code("workflow/scripts/annotation_tasks.py"),
    output:
        ratings_sheet=f"{RESULTS}/annotation/ratings.csv",
        ratings_json=f"{RESULTS}/annotation/ratings.json",
        ratings_config=f"{RESULTS}/annotation/ratings.xml",
        pairs_sheet=f"{RESULTS}/annotation/pairs.csv",
        pairs_json=f"{RESULTS}/annotation/pairs.json",
        pairs_config=f"{RESULTS}/annotation/pairs.xml",
        instructions_html=f"{RESULTS}/annotation/instructions.html",
        instructions_pdf=f"{RESULTS}/annotation/instructions.pdf",
        key=f"{RESULTS}/annotation_key.parquet",
    log:
        f"{RESULTS}/logs/annotation_tasks.log",
    benchmark:
        f"{RESULTS}/timings/annotation_tasks.tsv"
    conda:
        ENV
    params:
        labels={
            name: config["labels"][name]
            for name in (
                "items_per_cell",
                "pairs_per_cell",
                "mitigations",
                "repeats",
                "seed",
            )
        },
    script:
        "../scripts/annotation_tasks.py"


rule ingest_labels:
    input:
        key=f"{RESULTS}/annotation_key.parquet",
        files=LABEL_FILES["files"],
        adjudicated=LABEL_FILES["adjudicated"],
        library=code("workflow/scripts/ingest_labels.py"),
    output:
        annotations=f"{RESULTS}/annotations.parquet",
        label_table=f"{RESULTS}/labels.parquet",
        calibration_labels=f"{RESULTS}/calibration_labels.parquet",
        rejected=f"{RESULTS}/annotation/rejected.csv",
        report=f"{RESULTS}/annotation/ingest_report.json",
        page=f"{RESULTS}/annotation/ingest_report.md",
    log:
        f"{RESULTS}/logs/ingest_labels.log",
    benchmark:
        f"{RESULTS}/timings/ingest_labels.tsv"
    conda:
        ENV
    params:
        labels=config["labels"],
    script:
        "../scripts/ingest_labels.py"


rule agree:
    input:
        annotations=f"{RESULTS}/annotations.parquet",
        key=f"{RESULTS}/annotation_key.parquet",
        ratings_json=f"{RESULTS}/annotation/ratings.json",
        pairs_json=f"{RESULTS}/annotation/pairs.json",
        scores=expand(
            f"{RESULTS}/scores/{config['scoring']['primary']}/{{model}}.parquet",
            model=MODELS,
        ),
        library=code("workflow/scripts/agree.py"),
    output:
        report=f"{RESULTS}/annotation/agreement.json",
        page=f"{RESULTS}/annotation/agreement.md",
        consensus=f"{RESULTS}/consensus.parquet",
        adjudicate_ratings=f"{RESULTS}/annotation/adjudicate_ratings.csv",
        adjudicate_pairs=f"{RESULTS}/annotation/adjudicate_pairs.csv",
    log:
        f"{RESULTS}/logs/agree.log",
    benchmark:
        f"{RESULTS}/timings/agree.tsv"
    conda:
        ENV
    params:
        inference=config["inference"],
    script:
        "../scripts/agree.py"


rule calibrate_thresholds:
    input:
        calibration_labels=f"{RESULTS}/calibration_labels.parquet",
        label_table=f"{RESULTS}/labels.parquet",
        annotations=f"{RESULTS}/annotations.parquet",
        key=f"{RESULTS}/annotation_key.parquet",
        scores=expand(
            f"{RESULTS}/scores/{{scorer}}/{{model}}.parquet",
            scorer=SCORERS,
            model=MODELS,
        ),
        library=code("workflow/scripts/calibrate_thresholds.py"),
    output:
        thresholds=f"{RESULTS}/thresholds.parquet",
    log:
        f"{RESULTS}/logs/calibrate_thresholds.log",
    benchmark:
        f"{RESULTS}/timings/calibrate_thresholds.tsv"
    conda:
        ENV
    params:
        metrics=config["metrics"],
        inference=config["inference"],
    script:
        "../scripts/calibrate_thresholds.py"
