from expression_leakage.job import logged
from expression_leakage.labelling.thresholds import calibrate
from expression_leakage.tables import (
    ANNOTATIONS,
    LABELS,
    SCORES,
    TASK_KEY,
    THRESHOLDS,
    read_table,
    write_table,
)

with logged(snakemake.log[0]) as log:
    files, params = snakemake.input, snakemake.params
    found = calibrate(
        read_table(files.calibration_labels, LABELS),
        read_table(files.label_table, LABELS),
        read_table(files.annotations, ANNOTATIONS),
        read_table(files.key, TASK_KEY),
        read_table(files.scores, SCORES),
        **params.metrics,
        **params.inference,
    )
    write_table(found, THRESHOLDS, snakemake.output.thresholds)
    log.info("%d of %d thresholds calibrated", found["value"].notna().sum(), len(found))
