import json
from pathlib import Path

from expression_leakage.config import load_claims
from expression_leakage.job import logged
from expression_leakage.planning.design import read_design
from expression_leakage.planning.planner import plan
from expression_leakage.planning.text import as_markdown, as_text
from expression_leakage.tables import ITEMS, read_table, write_json, write_text

with logged(snakemake.log[0]):
    params, last_run = snakemake.params, Path(snakemake.params.components)
    design = read_design(
        params.entries,
        read_table(snakemake.input.item_tables, ITEMS),
        params.asked,
        params.prompts,
        params.sampling["samples"],
        params.labels["items_per_cell"],
        params.limits,
    )
    components = json.loads(last_run.read_text(encoding="utf-8")) if last_run.is_file() else None
    claims = load_claims(snakemake.input.claims)["claims"]
    found = plan(design, components, claims, **params.inference)
    write_json(snakemake.log.plan, found)
    write_text(snakemake.log.page, as_markdown(found))
    print(as_text(found), flush=True)
