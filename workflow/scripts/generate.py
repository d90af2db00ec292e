from dataclasses import asdict

import torch

from expression_leakage.job import logged
from expression_leakage.models.entry import as_entry
from expression_leakage.models.local import LocalModel
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import GENERATIONS, PROMPTS, read_table, write_table

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    law = SamplingLaw(**snakemake.params.sampling)
    model = LocalModel(as_entry(snakemake.params.entry, source=snakemake.input.get("organism")))
    generations = model.generate(read_table(snakemake.input.prompts, PROMPTS), law)
    meta = {"sampling": asdict(law), "model": model.facts()}
    write_table(generations, GENERATIONS, snakemake.output.generations, meta)
    log.info("%d continuations, %s", len(generations), meta)
