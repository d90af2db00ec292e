# Results → figures, tables, notebooks, paper. Nothing is computed here that is not in a table.


rule figure:
    input:
        unpack(figure_sources),
        library=code("workflow/scripts/figure.py"),
    output:
        svg=report(
            f"{PAPER}/figures/{{figure}}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf=f"{PAPER}/figures/{{figure}}.pdf",
        png=f"{PAPER}/figures/{{figure}}.png",
    log:
        f"{RESULTS}/logs/figure/{{figure}}.log",
    benchmark:
        f"{RESULTS}/timings/figure/{{figure}}.tsv"
    conda:
        ENV
    params:
        scorer=config["scoring"]["primary"],
        organisms=ORGANISM_FAMILIES,
        roles=ROLES,
    script:
        "../scripts/figure.py"


rule tables:
    input:
        estimates=f"{RESULTS}/estimates.parquet",
        claims=f"{RESULTS}/claims.json",
        item_tables=expand(
            f"{RESULTS}/benchmark/{{source}}.parquet", source=item_sources()
        ),
        sentences=f"{RESULTS}/benchmark/webtext_sentences.parquet",
        funnel=f"{RESULTS}/benchmark/webtext_funnel.json",
        balance=f"{RESULTS}/benchmark/balance.csv",
        specifications=f"{RESULTS}/specifications.parquet",
        records=expand(
            f"{RESULTS}/calibration/{{scenario}}.parquet", scenario=SCENARIOS
        ),
        generations=expand(f"{RESULTS}/generations/{{model}}.parquet", model=MODELS),
        ingest_report=f"{RESULTS}/annotation/ingest_report.json",
        people_report=f"{RESULTS}/annotation/agreement.json",
        thresholds=f"{RESULTS}/thresholds.parquet",
        gold=f"{RESULTS}/gold_agreement.parquet",
        library=code("workflow/scripts/tables.py"),
    output:
        scorecard=report(
            f"{RESULTS}/tables/claims.html",
            caption="../report/tables.rst",
            category="Claims",
        ),
        pages=report(
            expand(
                f"{RESULTS}/tables/{{table}}.html",
                table=[t for t in TABLES if t != "claims"],
            ),
            caption="../report/tables.rst",
            category="Tables",
        ),
        tables=expand(
            f"{PAPER}/tables/{{table}}.{{kind}}",
            table=TABLES,
            kind=["csv", "md", "tex"],
        ),
        study=f"{PAPER}/tables/study.json",
        claims=f"{PAPER}/tables/claims.json",
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/timings/tables.tsv"
    conda:
        ENV
    params:
        organisms=ORGANISM_FAMILIES,
        packages=PACKAGES,
        roles=ROLES,
        asked=ASKED,
        settings={
            "items": config["benchmark"]["items"],
            "limit": config.get("limit"),
            "metrics": config["metrics"],
            "inference": config["inference"],
            "calibration": config["calibration"],
            "world": config["organism"]["world"],
            "training": config["organism"]["training"],
        },
    script:
        "../scripts/tables.py"


rule paper:
    input:
        source="paper/main.typ",
        figures=expand(f"{PAPER}/figures/{{figure}}.svg", figure=FIGURES),
        tables=rules.tables.output,
        organisms=f"{PAPER}/tables/organisms.csv" if ORGANISMS else [],
    output:
        pdf=report(f"{PAPER}/main.pdf", caption="../report/paper.rst", category="Paper"),
        first_page=f"{PAPER}/first_page.png",
    log:
        f"{RESULTS}/logs/paper.log",
    benchmark:
        f"{RESULTS}/timings/paper.tsv"
    conda:
        ENV
    script:
        "../scripts/paper.py"


rule explore_leakage:
    input:
        generations=expand(f"{RESULTS}/generations/{{model}}.parquet", model=MODELS),
        scores=expand(
            f"{RESULTS}/scores/{config['scoring']['primary']}/{{model}}.parquet",
            model=MODELS,
        ),
        library=code("notebooks/explore_leakage.ipynb"),
    output:
        worst=report(
            f"{RESULTS}/notebooks/worst_leaks.csv",
            caption="../report/worst_leaks.rst",
            category="Notebooks",
        ),
    log:
        notebook=f"{RESULTS}/notebooks/explore_leakage.ipynb",
    benchmark:
        f"{RESULTS}/timings/explore_leakage.tsv"
    conda:
        ENV
    notebook:
        "../../notebooks/explore_leakage.ipynb"


rule main_figures:
    input:
        estimates=f"{RESULTS}/estimates.parquet",
        claims=f"{RESULTS}/claims.json",
        library=code("notebooks/main_figures.ipynb"),
    output:
        scaling=f"{RESULTS}/notebooks/scaling.png",
        polarity=f"{RESULTS}/notebooks/polarity.png",
    log:
        notebook=f"{RESULTS}/notebooks/main_figures.ipynb",
    benchmark:
        f"{RESULTS}/timings/main_figures.tsv"
    conda:
        ENV
    notebook:
        "../../notebooks/main_figures.ipynb"
