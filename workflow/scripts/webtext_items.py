from itertools import chain

from expression_leakage.benchmark.limit import few
from expression_leakage.benchmark.pairing import Tolerances
from expression_leakage.benchmark.webtext.filter import read_blocklist
from expression_leakage.benchmark.webtext.read import read_dataset, read_wet
from expression_leakage.benchmark.webtext.scheme import Scheme, webtext_items
from expression_leakage.job import logged
from expression_leakage.tables import ITEMS, SENTENCES, write_json, write_table

with logged(snakemake.log[0]) as log:
    pages = chain.from_iterable(
        [read_wet(path) for path in snakemake.input.files]
        + [
            read_dataset(s["dataset"], s["split"], s["column"], s["limit"], **s["options"])
            for s in snakemake.params.datasets
        ]
    )
    scheme = Scheme(
        tolerances=Tolerances(**snakemake.params.tolerances), per_stem=snakemake.params.per_stem
    )
    items, sentences, funnel = webtext_items(
        pages, read_blocklist(snakemake.input.blocklist), scheme
    )
    write_table(sentences, SENTENCES, snakemake.output.sentences)
    write_json(snakemake.output.funnel, funnel)
    items = few(items, snakemake.params.limit)
    write_table(items, ITEMS, snakemake.output.item_table)
    log.info("%s", funnel)
