from pathlib import Path

import pandas as pd

from expression_leakage.claims import assess, population
from expression_leakage.config import load_claims
from expression_leakage.declaration import deviation
from expression_leakage.inference.estimates import require_models
from expression_leakage.job import logged
from expression_leakage.labelling.thresholds import read_calibrated
from expression_leakage.metrics import item_values, text_values
from expression_leakage.mitigations import load_mitigations
from expression_leakage.tables import LABELS, MEASURES, SCORES, read_meta, read_table, write_json

with logged(snakemake.log[0]) as log:
    scores = read_table(snakemake.input.scores, SCORES)
    require_models(scores, snakemake.params.models)
    primary, metrics = snakemake.params.primary, snakemake.params.metrics
    calibrated = read_calibrated(snakemake.input.thresholds).get(primary)
    values = item_values(scores, **calibrated or metrics)
    text = text_values(read_table(snakemake.input.measures, MEASURES))
    mitigations = load_mitigations(snakemake.input.mitigations)
    declared = load_claims(snakemake.input.claims)
    noted = {
        Path(path).stem: read_meta(path).get("claims_sha256", [])
        for path in snakemake.input.generations
    }
    found = assess(
        pd.concat([values, text], ignore_index=True),
        declared,
        primary=primary,
        scores=scores,
        **metrics,
        calibrated=calibrated,
        roles={name: mitigation.role for name, mitigation in mitigations.items()},
        ratings=read_table(snakemake.input.label_table, LABELS),
        population=population(scores),
        deviation=deviation(declared["sha256"], noted),
        **snakemake.params.inference,
    )
    write_json(snakemake.output.claims, found)
    log.info("%s", {name: claim["verdict"] for name, claim in found["claims"].items()})
