from expression_leakage.job import logged
from expression_leakage.models.package import unpack

with logged(snakemake.log[0]) as log:
    facts = unpack(**snakemake.params.package, folder=snakemake.output.folder)
    log.info("%s", facts)
