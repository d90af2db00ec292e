import json
from collections import Counter
from pathlib import Path

import pandas as pd

from expression_leakage.benchmark.webtext.judge import judge, judge_rules
from expression_leakage.benchmark.webtext.scheme import classes, select
from expression_leakage.job import logged
from expression_leakage.tables import SENTENCES, read_table, write_json, write_table

rules = snakemake.params.rules
with logged(snakemake.log[0]) as log:
    funnel = sum(
        (
            Counter(json.loads(Path(path).read_text(encoding="utf-8")))
            for path in snakemake.input.funnels
        ),
        Counter(),
    )
    found = pd.concat([read_table(path, SENTENCES) for path in snakemake.input.candidates])
    sentences = select(
        found,
        classes(rules["keep"]),
        rules["near_duplicate"],
        judge(rules["judge"], snakemake.input.coefficients, snakemake.input.plain_words),
        judge_rules(rules["judge"]),
        funnel,
    )
    write_table(sentences, SENTENCES, snakemake.output.sentences)
    write_json(snakemake.output.funnel, dict(sorted(funnel.items())))
    log.info("%s", dict(sorted(funnel.items())))
