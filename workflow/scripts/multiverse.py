from expression_leakage.config import load_claims
from expression_leakage.inference.multiverse import multiverse
from expression_leakage.inference.specifications import read_run
from expression_leakage.job import logged
from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.labelling.thresholds import read_calibrated
from expression_leakage.mitigations import load_mitigations
from expression_leakage.tables import LABELS, SPECIFICATIONS, read_table, write_table

with logged(snakemake.log[0]) as log:
    files, params = snakemake.input, snakemake.params
    own = read_run(files.generations, files.scores, files.measures)
    mitigations = load_mitigations(files.mitigations)
    found = multiverse(
        [own, *(read_run(**run) for run in params.others)],
        load_claims(files.claims),
        primary=params.primary,
        **params.metrics,
        roles={name: mitigation.role for name, mitigation in mitigations.items()},
        labels=aggregate(read_table(files.label_table, LABELS)),
        **params.inference,
        calibrated=read_calibrated(files.thresholds),
    )
    write_table(found, SPECIFICATIONS, snakemake.output.specifications)
    log.info("%d specifications", len(found))
