from expression_leakage.benchmark.webtext.fetch import fetch
from expression_leakage.job import logged

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    log.info("%s", fetch(params.url, snakemake.output.file, sha256=params.sha256))
