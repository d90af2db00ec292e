from expression_leakage.config import load_claims
from expression_leakage.inference.calibration import calibrate
from expression_leakage.job import logged
from expression_leakage.tables import CALIBRATION, write_table

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    records = calibrate(
        snakemake.wildcards.scenario,
        load_claims(snakemake.input.claims),
        repetitions=params.repetitions,
        seed=params.seed,
        draws=params.draws,
    )
    write_table(records, CALIBRATION, snakemake.output.records)
    log.info("%d repetitions, %d records", params.repetitions, len(records))
