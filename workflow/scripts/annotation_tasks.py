from expression_leakage.job import logged
from expression_leakage.labelling import export, tasks
from expression_leakage.tables import GENERATIONS, TASK_KEY, read_table, write_table, write_text

with logged(snakemake.log[0]) as log:
    labels, output = snakemake.params.labels, snakemake.output
    seed, mitigations = labels["seed"], labels["mitigations"]
    generations = read_table(snakemake.input.generations, GENERATIONS)
    ratings = tasks.draw_ratings(generations, labels["items_per_cell"], seed, mitigations)
    pairs = tasks.draw_pairs(generations, labels["pairs_per_cell"], seed, mitigations)
    checks = tasks.read_checks(snakemake.input.checks)
    blind, key = tasks.blind(ratings, pairs, checks, seed, labels["repeats"])
    export.write_instructions(
        snakemake.input.instructions, output.instructions_html, output.instructions_pdf
    )
    write_table(key, TASK_KEY, output.key)
    for kind, name in (("rating", "ratings"), ("pair", "pairs")):
        export.write_sheet(output[f"{name}_sheet"], blind[kind], kind)
        export.write_label_studio(output[f"{name}_json"], blind[kind])
        write_text(output[f"{name}_config"], export.LABEL_STUDIO_CONFIG[kind])
        log.info("%s: %d tasks", name, len(blind[kind]))
