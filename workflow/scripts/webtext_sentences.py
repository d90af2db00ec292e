import json
from collections import Counter
from pathlib import Path

from expression_leakage.benchmark.webtext.judge import judge, judge_rules
from expression_leakage.benchmark.webtext.reduce import select
from expression_leakage.benchmark.webtext.sample import BottomK, classes
from expression_leakage.job import logged
from expression_leakage.tables import SENTENCES, read_table, write_json, write_table

rules = snakemake.params.rules
with logged(snakemake.log[0]) as log:
    funnel, sample = Counter(), BottomK(classes(rules["keep"]))
    for candidates, counts in zip(snakemake.input.candidates, snakemake.input.funnels, strict=True):
        sample.add(read_table(candidates, SENTENCES))
        funnel.update(json.loads(Path(counts).read_text(encoding="utf-8")))
    sentences = select(
        sample.rows(),
        rules["near_duplicate"],
        judge(rules["judge"], snakemake.input.coefficients, snakemake.input.plain_words),
        judge_rules(rules["judge"]),
        funnel,
    )
    write_table(sentences, SENTENCES, snakemake.output.sentences)
    write_json(snakemake.output.funnel, dict(sorted(funnel.items())))
    log.info("%s", dict(sorted(funnel.items())))
