from expression_leakage.benchmark.webtext.fetch import fetch
from expression_leakage.job import logged

with logged(snakemake.log[0]) as log:
    log.info("%s", fetch(snakemake.params.url, snakemake.output.file))
