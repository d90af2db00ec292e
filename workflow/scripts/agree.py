import json
from pathlib import Path

import pandas as pd

from expression_leakage.job import logged
from expression_leakage.labelling.aggregation import consensus, disagreements
from expression_leakage.labelling.agreement_page import to_markdown
from expression_leakage.labelling.agreement_report import agreement_report
from expression_leakage.labelling.export import write_csv
from expression_leakage.labelling.tasks import SHOWN
from expression_leakage.tables import (
    ANNOTATIONS,
    CONSENSUS,
    SCORES,
    TASK_KEY,
    read_table,
    write_json,
    write_table,
    write_text,
)

with logged(snakemake.log[0]) as log:
    files, output = snakemake.input, snakemake.output
    annotations = read_table(files.annotations, ANNOTATIONS)
    key = read_table(files.key, TASK_KEY)
    scores = read_table(files.scores, SCORES)
    tasks = {
        kind: pd.DataFrame(
            [task["data"] for task in json.loads(Path(path).read_bytes())],
            columns=list(SHOWN[kind]),
        )
        for kind, path in (("rating", files.ratings_json), ("pair", files.pairs_json))
    }
    report = agreement_report(annotations, key, scores, **snakemake.params.inference)
    open_ = disagreements(annotations, tasks, key)
    write_json(output.report, report)
    write_text(output.page, to_markdown(report))
    write_table(consensus(annotations), CONSENSUS, output.consensus)
    write_csv(output.adjudicate_ratings, open_["rating"])
    write_csv(output.adjudicate_pairs, open_["pair"])
    log.info("%d labels, to adjudicate: %s", report["n_labels"], report["to_adjudicate"])
