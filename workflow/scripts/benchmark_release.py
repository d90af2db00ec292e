import json
from pathlib import Path

from expression_leakage.benchmark.webtext.release import release
from expression_leakage.job import logged
from expression_leakage.tables import ITEMS, SENTENCES, read_table

with logged(snakemake.log[0]) as log:
    found = release(
        read_table(snakemake.input.item_table, ITEMS),
        read_table(snakemake.input.sentences, SENTENCES),
        json.loads(Path(snakemake.input.funnel).read_text(encoding="utf-8")),
        snakemake.params.settings,
        snakemake.output.folder,
    )
    log.info("%s", found)
