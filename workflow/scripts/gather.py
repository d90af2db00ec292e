import json
from pathlib import Path

from expression_leakage.gather import gather
from expression_leakage.job import logged
from expression_leakage.render.prompts import prompts_page
from expression_leakage.tables import (
    GENERATIONS,
    PROMPTS,
    RENDERED,
    read_table,
    write_table,
    write_text,
)

with logged(snakemake.log[0]) as log:
    manifests = [json.loads(Path(f).read_text()) for f in snakemake.input.manifests]
    prompts = read_table(snakemake.input.prompts, PROMPTS)
    rendered = read_table(snakemake.input.rendered, RENDERED)
    params = snakemake.params
    generations, meta = gather(manifests, prompts, rendered, params.entry, params.samples)
    write_table(generations, GENERATIONS, snakemake.output.generations, meta)
    write_table(rendered, RENDERED, snakemake.output.rendered)
    write_text(snakemake.output.page, prompts_page(prompts, rendered, params.entry))
    log.info("%d continuations, %s", len(generations), meta)
