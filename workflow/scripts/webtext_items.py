import json
from pathlib import Path

from expression_leakage.benchmark.limit import few
from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext.embed import embedding
from expression_leakage.benchmark.webtext.pair import pair
from expression_leakage.job import logged
from expression_leakage.tables import ITEMS, SENTENCES, read_table, write_json, write_table

with logged(snakemake.log[0]) as log:
    pairing = snakemake.params.pairing
    items, counts = pair(
        read_table(snakemake.input.sentences, SENTENCES),
        embedding(snakemake.params.embedding),
        Tolerances(**pairing["tolerances"]),
        pairing["per_stem"],
        pairing["max_reuse"],
    )
    funnel = json.loads(Path(snakemake.input.funnel).read_text(encoding="utf-8")) | counts
    write_json(snakemake.output.funnel, funnel)
    write_table(few(items, snakemake.params.limit), ITEMS, snakemake.output.item_table)
    log.info("%s", counts)
