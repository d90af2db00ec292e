from expression_leakage.config import load_claims
from expression_leakage.job import logged
from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.labelling.thresholds import read_calibrated
from expression_leakage.mitigations import load_mitigations
from expression_leakage.planning.components import variance_components
from expression_leakage.tables import LABELS, SCORES, read_table, write_json

with logged(snakemake.log[0]) as log:
    declared = load_claims(snakemake.input.claims)
    mitigations = load_mitigations(snakemake.input.mitigations)
    scores = read_table(snakemake.input.scores, SCORES)
    found = variance_components(
        scores,
        labels=aggregate(read_table(snakemake.input.label_table, LABELS)),
        roles={name: mitigation.role for name, mitigation in mitigations.items()},
        share=declared["claims"]["mitigation"]["thresholds"]["reduction_share"],
        **snakemake.params.metrics,
        **snakemake.params.inference,
        calibrated=read_calibrated(snakemake.input.thresholds).get(scores["scorer"].iloc[0]),
    )
    write_json(snakemake.output.components, found)
    log.info("%d models, %d items", found["n_models"], found["n_items"])
