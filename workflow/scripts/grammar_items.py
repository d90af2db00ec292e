from expression_leakage.benchmark.grammar import grammar_items
from expression_leakage.benchmark.limit import few
from expression_leakage.job import logged
from expression_leakage.models.grammar import load_grammar
from expression_leakage.tables import ITEMS, write_table

with logged(snakemake.log[0]) as log:
    counts = snakemake.params.counts
    items = grammar_items(
        load_grammar(snakemake.input.grammar),
        snakemake.params.held_out,
        counts["irrelevant"],
        counts["relevant"],
    )
    items = few(items, snakemake.params.limit)
    write_table(items, ITEMS, snakemake.output.item_table)
    log.info("%d items", items["item_id"].nunique())
