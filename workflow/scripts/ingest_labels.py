from expression_leakage.job import logged
from expression_leakage.labelling.agreement import agreement_report
from expression_leakage.labelling.ingest import ingest
from expression_leakage.labelling.tasks import write_csv
from expression_leakage.tables import (
    LABELS,
    TASK_KEY,
    content_hash,
    read_table,
    write_json,
    write_table,
)

with logged(snakemake.log[0]) as log:
    key = read_table(snakemake.input.key, TASK_KEY)
    salt = content_hash("annotators", str(snakemake.params.seed))
    found = ingest(snakemake.input.files, key, salt)
    report = {
        "looked_in": snakemake.params.patterns,
        "ingest": found.report,
        "agreement": agreement_report(found.labels),
    }
    write_csv(snakemake.output.rejected, found.rejected)
    write_json(snakemake.output.report, report)
    write_table(found.labels, LABELS, snakemake.output.label_table)
    log.info("%d labels, %d rows rejected", len(found.labels), len(found.rejected))
