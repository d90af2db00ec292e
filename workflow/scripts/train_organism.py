import torch

from expression_leakage.job import logged
from expression_leakage.models.grammar import every_word, load_grammar
from expression_leakage.models.organism import Training, train
from expression_leakage.tables import CORPUS, read_table

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    shape = dict(snakemake.params.organism)
    facts = train(
        read_table(snakemake.input.corpus, CORPUS),
        every_word(load_grammar(snakemake.input.grammar)),
        shape,
        Training(**snakemake.params.training),
        shape["seed"],
        snakemake.output.folder,
    )
    log.info("%s", facts)
