from collections import Counter
from itertools import chain

import pyarrow as pa

from expression_leakage.benchmark.webtext.read import ReadLimits
from expression_leakage.benchmark.webtext.scheme import candidates, map_rules, read_source
from expression_leakage.benchmark.webtext.sentences import read_blocklist
from expression_leakage.job import logged
from expression_leakage.tables import SENTENCES, write_json, write_table

# Arrow's own allocator keeps what it was once given: a large file would cost 80 MB more.
pa.set_memory_pool(pa.system_memory_pool())
with logged(snakemake.log[0]) as log:
    rules = snakemake.params.rules
    limits, funnel = ReadLimits(**rules["read"]), Counter()
    pages = chain.from_iterable(
        read_source(*source, funnel, limits) for source in snakemake.params.sources
    )
    found = candidates(
        pages,
        map_rules(rules),
        read_blocklist(snakemake.input.blocklist),
        snakemake.params.licences,
        funnel,
    )
    write_table(found, SENTENCES, snakemake.output.candidates)
    write_json(snakemake.output.funnel, dict(sorted(funnel.items())))
    log.info("%s", dict(sorted(funnel.items())))
