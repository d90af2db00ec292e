import sys

from expression_leakage.job import logged
from expression_leakage.labelling.export import write_csv
from expression_leakage.labelling.ingest import UNREADABLE, ingest, split
from expression_leakage.labelling.ingest_report import to_markdown
from expression_leakage.labelling.people import annotator_salt
from expression_leakage.tables import (
    ANNOTATIONS,
    LABELS,
    TASK_KEY,
    read_table,
    write_json,
    write_table,
    write_text,
)

with logged(snakemake.log[0]) as log:
    params, given, output = snakemake.params.labels, snakemake.input, snakemake.output
    key = read_table(given.key, TASK_KEY)
    salt = annotator_salt() if given.files or given.adjudicated else ""
    found = ingest(given.files, key, salt, given.adjudicated, params["min_checks_passed"])
    share = params["calibration"]["share"]
    claim, calibration = split(found.labels, share, params["seed"])
    report = {
        "looked_in": params["files"],
        "ingest": found.report,
        "split": {
            "share": share,
            "n_claim_items": int(claim["item_id"].nunique()),
            "n_calibration_items": int(calibration["item_id"].nunique()),
        },
    }
    write_csv(output.rejected, found.rejected)
    write_json(output.report, report)
    write_text(output.page, to_markdown(report))
    write_table(calibration, LABELS, output.calibration_labels)
    write_table(claim, LABELS, output.label_table)
    write_table(found.annotations, ANNOTATIONS, output.annotations)
    for name, path in found.files.items():
        log.info("%s stands for %r", name, str(path))
        if found.report["files"][name]["format"] == UNREADABLE:
            said = found.report["files"][name]["warnings"][0]
            sys.stderr.write(f"warning: {path} is set aside: {said}\n")
    log.info("%d labels, %d rows rejected", found.report["labels"], len(found.rejected))
