from expression_leakage.benchmark.webtext.fetch import draw_all
from expression_leakage.benchmark.webtext.sources import listings
from expression_leakage.job import logged
from expression_leakage.tables import write_json

with logged(snakemake.log[0]) as log:
    listed = draw_all(listings(snakemake.params.sources))
    write_json(snakemake.output.listed, listed)
    log.info("%d addresses drawn from %d listings", sum(map(len, listed.values())), len(listed))
