from expression_leakage.job import logged
from expression_leakage.scoring.gold import gold_agreement, read_gold
from expression_leakage.tables import GOLD_AGREEMENT, GOLD_SCORES, read_table, write_table

with logged(snakemake.log[0]) as log:
    found = gold_agreement(
        read_gold(snakemake.input.gold),
        read_table(snakemake.input.scores, GOLD_SCORES),
        snakemake.params.tau,
        **snakemake.params.inference,
    )
    write_table(found, GOLD_AGREEMENT, snakemake.output.agreement)
    log.info("%d scorers", found["scorer"].nunique() - 1)
