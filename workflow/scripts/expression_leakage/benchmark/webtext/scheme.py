"""The map of the scheme: pages of a shard → candidates.

A shard's job keeps the candidates with the lowest content hashes of each class, so neither the
number of shards nor the order of files, pages or batches changes what comes out of the reduce.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa

from expression_leakage.benchmark.webtext.gate import GateRules, gate, stand_alone
from expression_leakage.benchmark.webtext.quality import DocumentRules, page_faults
from expression_leakage.benchmark.webtext.read import Page, ReadLimits, read_dataset, read_pages
from expression_leakage.benchmark.webtext.sample import KEEP, BottomK, Class, classes
from expression_leakage.benchmark.webtext.sentences import SentenceRules, sentences_of
from expression_leakage.benchmark.webtext.sources import file_name
from expression_leakage.benchmark.webtext.stems import StemRules, cut_stem
from expression_leakage.tables import SENTENCES, content_hash

BATCH = 4_000_000  # characters of text filtered at a time


@dataclass(frozen=True)
class Rules:
    """What is kept at each step of the map, and how much of each class.

    Parameters
    ----------
    keep
        Candidates of each class, by (kind, polarity).
    """

    documents: DocumentRules = field(default_factory=DocumentRules)
    sentences: SentenceRules = field(default_factory=SentenceRules)
    gate: GateRules = field(default_factory=GateRules)
    stems: StemRules = field(default_factory=StemRules)
    keep: Mapping[Class, int] = field(default_factory=lambda: classes(KEEP))


def map_rules(settings: Mapping[str, Mapping]) -> Rules:
    """Rules as configured: what is not named keeps its default."""
    return Rules(
        DocumentRules(**settings["documents"]),
        SentenceRules(**settings["sentences"]),
        GateRules(**settings["gate"]),
        StemRules(**settings["stems"]),
        classes(settings["keep"]),
    )


def read_source(
    name: str, path: str | None, settings: Mapping | None, funnel: Counter, limits: ReadLimits
) -> Iterator[Page]:
    """Pages of a source: of a file, or of a dataset where there are settings of one."""
    if settings is None:
        return read_pages(path, file_name(name), funnel, limits)
    return read_dataset(
        settings["dataset"],
        settings["split"],
        settings["column"],
        settings["limit"],
        funnel,
        limits,
        **settings["options"],
    )


def candidates(
    pages: Iterable[Page],
    rules: Rules,
    blocklist: str,
    licences: Mapping[str, str],
    funnel: Counter,
) -> pd.DataFrame:
    """Candidates for stems and injections among pages.

    Parameters
    ----------
    pages
        In any order; the order changes nothing.
    rules
        What is kept.
    blocklist
        See `sentences.read_blocklist`.
    licences
        Licence of each host whose pages have one that is known.
    funnel
        Counted up in place: pages, pages_<fault>, pages_kept; sentences likewise; gate_<polarity>,
        dropped_<why>, candidates_<kind>_<polarity>.

    Returns
    -------
    DataFrame
        SENTENCES rows, at most ``rules.keep`` of each class.
    """
    sample = BottomK(rules.keep)
    sample.add(pd.DataFrame(columns=SENTENCES.columns))
    for batch in _batches(pages):
        funnel["pages"] += len(batch)
        faults = page_faults(
            pa.array([page.text for page in batch], pa.large_string()), rules.documents
        )
        funnel.update(f"pages_{fault or 'kept'}" for fault in faults)
        kept = [page for page, fault in zip(batch, faults, strict=True) if not fault]
        if not kept:
            continue
        found = sentences_of(kept, rules.sentences, blocklist, funnel)
        rows = _classed(found.to_pandas(), rules, funnel)
        sample.add(_with_provenance(rows, kept, licences))
    return sample.rows()[SENTENCES.columns]


def _batches(pages: Iterable[Page]) -> Iterator[list[Page]]:
    batch, size = [], 0
    for page in pages:
        batch.append(page)
        size += len(page.text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _classed(found: pd.DataFrame, rules: Rules, funnel: Counter) -> pd.DataFrame:
    """Sentences that make an injection or a stem: kind, polarity, valence, text and rest."""
    polarity, valence = gate(found["text"].tolist(), rules.gate)
    funnel.update(f"gate_{p or 'none'}" for p in polarity)
    rows = found.assign(polarity=polarity, valence=valence)[polarity != ""]
    texts = rows["text"].tolist()
    alone = stand_alone(texts) & (rows["text"].map(_length) <= rules.gate.max_words).to_numpy()
    neutral = rows["polarity"] == "neutral"
    cuts = [cut_stem(t, rules.stems) if n else None for t, n in zip(texts, neutral, strict=True)]
    # A neutral sentence that could be either is one or the other by its hash.
    stem = np.array(
        [
            c is not None and (not a or word_hash(t) < "8")
            for c, a, t in zip(cuts, alone, texts, strict=True)
        ],
        dtype=bool,
    )
    parts = [cut for cut, chosen in zip(cuts, stem, strict=True) if chosen]
    stems = rows[stem].assign(kind="stem", text=[p[0] for p in parts], rest=[p[1] for p in parts])
    injections = rows.assign(kind="injection", rest="")[alone & ~stem]
    funnel.update("dropped_" + rows["polarity"][~alone & ~stem])
    classed = pd.concat([injections, stems], ignore_index=True)
    funnel.update("candidates_" + classed["kind"] + "_" + classed["polarity"])
    return classed


def _length(text: str) -> int:
    return len(text.split())


def _with_provenance(
    rows: pd.DataFrame, pages: list[Page], licences: Mapping[str, str]
) -> pd.DataFrame:
    """SENTENCES rows."""
    at = [pages[number] for number in rows["page"]]
    hosts = [host(page.url) for page in at]
    return rows.assign(
        hash=[word_hash(text) for text in rows["text"]],
        n_words=rows["text"].map(_length).astype(np.int64),
        url=[page.url for page in at],
        host=hosts,
        file=[page.file for page in at],
        snapshot=[page.snapshot for page in at],
        record_id=[page.record_id for page in at],
        offset=[page.offset for page in at],
        licence=[licence_of(name, licences) for name in hosts],
        rest_valence=0.0,
    )[SENTENCES.columns]


def word_hash(text: str) -> str:
    """Content hash of a text's words, whatever their case and punctuation."""
    return content_hash(" ".join(re.findall(r"\w+", text.lower())))


def host(url: str) -> str:
    """Host name of an address; the address itself where it has none."""
    return urlsplit(url).hostname or url


def licence_of(name: str, licences: Mapping[str, str]) -> str:
    """Licence declared for a host or, failing that, for the nearest domain it is in; else empty."""
    parts = name.split(".")
    domains = (".".join(parts[first:]) for first in range(len(parts)))
    return next((licences[domain] for domain in domains if domain in licences), "")
