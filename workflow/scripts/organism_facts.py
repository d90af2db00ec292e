from expression_leakage.job import logged
from expression_leakage.models.facts import organism_facts
from expression_leakage.models.grammar import load_grammar
from expression_leakage.tables import write_text

with logged(snakemake.log[0]):
    facts = organism_facts(
        snakemake.input.folders,
        snakemake.input.generations,
        load_grammar(snakemake.input.grammar),
    )
    write_text(snakemake.output.facts, facts.round(4).to_csv(index=False, lineterminator="\n"))
