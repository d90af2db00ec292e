from functools import partial

from expression_leakage.gpus import given_gpus
from expression_leakage.job import logged
from expression_leakage.scoring.assemble import measure_table
from expression_leakage.scoring.relatedness import relatedness
from expression_leakage.scoring.scorers import build_embedding
from expression_leakage.tables import GENERATIONS, MEASURES, read_table, write_table

where = "relatedness"
with logged(snakemake.log[0]) as log, given_gpus(snakemake.resources.gpu, where):
    embedding, facts = build_embedding(snakemake.params.relatedness)
    measures = measure_table(
        read_table(snakemake.input.generations, GENERATIONS),
        partial(relatedness, method=embedding),
        snakemake.params.sentences,
    )
    write_table(measures, MEASURES, snakemake.output.measures, facts)
    log.info("%d rows", len(measures))
