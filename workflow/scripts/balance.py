from expression_leakage.benchmark.pairing import balance
from expression_leakage.job import logged
from expression_leakage.tables import ITEMS, read_table, write_text

with logged(snakemake.log[0]):
    items = read_table(snakemake.input.item_table, ITEMS)
    table = balance(items).round(6)
    write_text(snakemake.output.balance, table.to_csv(index=False, lineterminator="\n"))
