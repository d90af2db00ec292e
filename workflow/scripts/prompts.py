from expression_leakage.benchmark.limit import few
from expression_leakage.job import logged
from expression_leakage.mitigations import load_mitigations
from expression_leakage.prompts import build_prompts
from expression_leakage.tables import ITEMS, PROMPTS, read_table, write_table

with logged(snakemake.log[0]) as log:
    prompts = build_prompts(
        few(read_table(snakemake.input.item_table, ITEMS), snakemake.params.limit),
        load_mitigations(snakemake.input.mitigations),
        snakemake.wildcards.wording,
    )
    write_table(prompts, PROMPTS, snakemake.output.prompts)
    log.info("%d prompts", len(prompts))
