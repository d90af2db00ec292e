from expression_leakage.gpus import given_gpus
from expression_leakage.job import logged
from expression_leakage.scoring.assemble import score_table
from expression_leakage.scoring.scorers import build_scorer
from expression_leakage.tables import GENERATIONS, SCORES, read_table, write_table

where = f"scorer {snakemake.wildcards.scorer!r}"
with logged(snakemake.log[0]) as log, given_gpus(snakemake.resources.gpu, where):
    scorer, facts = build_scorer(snakemake.params.scorer, snakemake.params.judge, snakemake.threads)
    scores = score_table(
        read_table(snakemake.input.generations, GENERATIONS),
        snakemake.wildcards.scorer,
        scorer,
        snakemake.params.sentences,
    )
    write_table(scores, SCORES, snakemake.output.scores, facts)
    log.info("%d scores, %d unscorable", len(scores), scores["sentiment"].isna().sum())
