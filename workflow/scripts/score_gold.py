from expression_leakage.gpus import given_gpus
from expression_leakage.job import logged
from expression_leakage.scoring.gold import gold_scores, read_gold
from expression_leakage.scoring.scorers import build_scorer
from expression_leakage.tables import GOLD_SCORES, write_table

where = f"scorer {snakemake.wildcards.scorer!r}"
with logged(snakemake.log[0]) as log, given_gpus(snakemake.resources.gpu, where):
    scorer, facts = build_scorer(snakemake.params.scorer, snakemake.params.judge, snakemake.threads)
    scores = gold_scores(
        read_gold(snakemake.input.gold),
        snakemake.wildcards.scorer,
        scorer,
        snakemake.params.sentences,
    )
    write_table(scores, GOLD_SCORES, snakemake.output.scores, facts)
    log.info("%d scores, %d unscorable", len(scores), scores["sentiment"].isna().sum())
