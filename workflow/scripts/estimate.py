import pandas as pd

from expression_leakage.inference.estimates import estimate_all, require_models
from expression_leakage.job import logged
from expression_leakage.labelling.thresholds import read_calibrated
from expression_leakage.metrics import item_values, text_values
from expression_leakage.tables import ESTIMATES, MEASURES, SCORES, read_table, write_table

with logged(snakemake.log[0]) as log:
    scores = read_table(snakemake.input.scores, SCORES)
    require_models(scores, snakemake.params.models)
    calibrated, metrics = read_calibrated(snakemake.input.thresholds), snakemake.params.metrics
    values = [
        item_values(part, **calibrated.get(scorer, metrics))
        for scorer, part in scores.groupby("scorer")
    ]
    values.append(text_values(read_table(snakemake.input.measures, MEASURES)))
    estimates = estimate_all(pd.concat(values, ignore_index=True))
    write_table(estimates, ESTIMATES, snakemake.output.estimates)
    log.info("%d scores, %d estimates", len(scores), len(estimates))
