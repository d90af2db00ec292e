from pathlib import Path

from expression_leakage.job import logged
from expression_leakage.render import formats
from expression_leakage.render.sources import read_sources
from expression_leakage.render.study import study_facts
from expression_leakage.render.tables import build_tables, captions
from expression_leakage.tables import write_json, write_text

with logged(snakemake.log[0]) as log:
    found = read_sources(snakemake.input)
    params = snakemake.params
    tables = build_tables(found, params.roles)
    said = captions(tables, found["claims"]["scorer"], params.organisms, params.packages)
    folder, pages = Path(snakemake.output.study).parent, Path(snakemake.output.pages[0]).parent
    for name, frame in tables.items():
        stem = folder / name
        write_text(stem.with_suffix(".csv"), formats.to_csv(frame))
        write_text(stem.with_suffix(".md"), formats.to_markdown(frame, said[name]))
        write_text(stem.with_suffix(".tex"), formats.to_latex(frame, said[name], name))
        page = formats.to_html(frame, said[name], name.replace("_", " ").capitalize())
        write_text(pages / f"{name}.html", page)
    facts = study_facts(
        snakemake.input.generations,
        found["estimates"],
        found["item_tables"],
        params.organisms,
        params.packages,
        params.asked,
        params.settings,
    )
    people = {"agreement": found["people_report"]}
    write_json(snakemake.output.study, facts | {"captions": said, "labels": people})
    write_json(snakemake.output.claims, found["claims"])
    log.info("%s", list(tables))
