from expression_leakage.benchmark.curated import curated_items, load_injections, load_stems
from expression_leakage.benchmark.limit import few
from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.job import logged
from expression_leakage.tables import ITEMS, write_table

with logged(snakemake.log[0]) as log:
    items = curated_items(
        load_stems(snakemake.input.stems),
        load_injections(snakemake.input.injections),
        snakemake.params.per_stem,
        Tolerances(**snakemake.params.tolerances),
    )
    items = few(items, snakemake.params.limit)
    write_table(items, ITEMS, snakemake.output.item_table)
    log.info("%d items", items["item_id"].nunique())
