from pathlib import Path

from expression_leakage.job import logged
from expression_leakage.labelling import tasks
from expression_leakage.tables import (
    GENERATIONS,
    TASK_KEY,
    content_hash,
    read_table,
    write_table,
    write_text,
)

with logged(snakemake.log[0]) as log:
    seed = snakemake.params.seed
    generations = read_table(snakemake.input.generations, GENERATIONS)
    drawn = tasks.draw(generations, snakemake.params.items_per_cell, seed)
    blind, key = tasks.export(drawn, content_hash("tasks", str(seed)))
    instructions = Path(snakemake.input.instructions).read_text(encoding="utf-8")
    tasks.write_label_studio(snakemake.output.label_studio, blind)
    write_text(snakemake.output.labelling_config, tasks.LABEL_STUDIO_CONFIG)
    write_text(snakemake.output.instructions, instructions)
    write_table(key, TASK_KEY, snakemake.output.key)
    tasks.write_sheet(snakemake.output.sheet, blind)
    log.info("%d tasks", len(blind))
