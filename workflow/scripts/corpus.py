from expression_leakage.job import logged
from expression_leakage.models.grammar import World, load_grammar, write_corpus
from expression_leakage.tables import CORPUS, write_table

with logged(snakemake.log[0]) as log:
    corpus = write_corpus(
        load_grammar(snakemake.input.grammar),
        World(**snakemake.params.world),
        snakemake.params.texts,
        int(snakemake.wildcards.seed),
    )
    write_table(corpus.reset_index(names="text_id"), CORPUS, snakemake.output.corpus)
    log.info("%d texts", len(corpus))
