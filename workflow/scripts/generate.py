from expression_leakage.declaration import sha256_of
from expression_leakage.gather import manifest
from expression_leakage.gpus import given_gpus
from expression_leakage.job import logged
from expression_leakage.models.entry import as_entry
from expression_leakage.models.load import load_backend
from expression_leakage.sampling import SamplingLaw
from expression_leakage.shards import (
    Store,
    cache_key,
    draw_missing,
    part_of,
    render_all,
    rendered_table,
    spent_in,
)
from expression_leakage.tables import PROMPTS, RENDERED, read_table, write_json, write_table

wildcards, params = snakemake.wildcards, snakemake.params
where = f"model {wildcards.model!r}"
with logged(snakemake.log[0]) as log, given_gpus(snakemake.resources.gpu, where) as cards:
    law = SamplingLaw(**params.sampling)
    entry = as_entry(params.entry, source=snakemake.input.get("folder") or None)
    backend = load_backend(entry, snakemake.threads, spent_in(params.store))
    asked = read_table(snakemake.input.prompts, PROMPTS)
    prompts = render_all(backend, part_of(asked, int(wildcards.part), int(wildcards.parts)))
    declared = {"claims_sha256": sha256_of(params.claims)}
    store = Store(params.store, cache_key(backend.facts(), law), declared)
    log.info("%d prompts, shards in %s, GPUs %s", len(prompts), store.folder, cards)
    with store.held(f"{wildcards.part}-of-{wildcards.parts}"):
        draw_missing(backend, prompts, law, store, params.shard_prompts)
    write_table(rendered_table(prompts), RENDERED, snakemake.output.rendered)
    found = manifest(store, prompts, law.samples, params.max_failed, where)
    write_json(snakemake.output.manifest, found)
    log.info("%s, %s", law, found)
