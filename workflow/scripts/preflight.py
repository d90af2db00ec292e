from pathlib import Path

import pandas as pd

from expression_leakage.job import logged
from expression_leakage.models.grammar import every_word, load_grammar
from expression_leakage.models.preflight import preflight, refuse_problems
from expression_leakage.models.preflight_text import as_text
from expression_leakage.sampling import SamplingLaw
from expression_leakage.tables import PROMPTS, read_table, write_text

with logged(snakemake.log[0]):
    tables = {Path(path).stem: read_table(path, PROMPTS) for path in snakemake.input.prompts}
    asked = {
        model: pd.concat([tables[name] for name in names], ignore_index=True)
        for model, names in snakemake.params.asked.items()
    }
    law = SamplingLaw(**snakemake.params.sampling)
    words = every_word(load_grammar(snakemake.input.grammar))
    found = preflight(snakemake.params.entries, asked, law, words)
    write_text(snakemake.output.table, found.to_csv(index=False, lineterminator="\n"))
    write_text(snakemake.log.text, as_text(found))
    print(as_text(found), flush=True)
    refuse_problems(found, snakemake.log.text)
