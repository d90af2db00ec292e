"""The scheme that turns free web text into benchmark items, from pages to the items table."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from re import Pattern

import pandas as pd

from expression_leakage.benchmark.pairing import Tolerances, assign, build_items, match_arms
from expression_leakage.benchmark.webtext.filter import (
    DocumentRules,
    SentenceRules,
    clean_sentences,
)
from expression_leakage.benchmark.webtext.read import Page
from expression_leakage.benchmark.webtext.select import SelectionRules, host, select_sentences
from expression_leakage.errors import InputError


@dataclass(frozen=True)
class Scheme:
    """Every choice of the scheme.

    Parameters
    ----------
    documents, sentences, selection
        What is kept at each step.
    tolerances
        How alike the injections of an item are.
    per_stem
        Items per stem.
    max_reuse
        Items an injection may be in; None for no bound.
    """

    documents: DocumentRules = field(default_factory=DocumentRules)
    sentences: SentenceRules = field(default_factory=SentenceRules)
    selection: SelectionRules = field(default_factory=SelectionRules)
    tolerances: Tolerances = field(default_factory=Tolerances)
    per_stem: int = 1
    max_reuse: int | None = 4


def webtext_items(
    pages: Iterable[Page], blocklist: Pattern, scheme: Scheme | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Items whose stems and injections are sentences of web pages.

    A stem and its four injections come from five pages. The topic of a stem is the host it was
    found on, and its relevance is "irrelevant" by rule, not by judgement: stems that speak in the
    first person or of feelings are left out.

    Parameters
    ----------
    pages
        In any order; the order changes nothing.
    blocklist
        See `filter.read_blocklist`.
    scheme
        The choices made; None for the defaults.

    Returns
    -------
    items
        The items table, source "webtext", origin ``url#start`` with the start of the stem's
        sentence in the page's text [characters].
    sentences
        Stems and injections with their provenance; see `select.select_sentences`.
    funnel
        Counts at each step, from pages to items.

    Raises
    ------
    InputError
        The pages hold too few matching sentences for a single item.
    """
    scheme = scheme or Scheme()
    funnel: Counter = Counter()
    kept = (
        sentence
        for page in pages
        for sentence in clean_sentences(page, scheme.documents, scheme.sentences, blocklist, funnel)
    )
    sentences = select_sentences(kept, scheme.selection, funnel)
    items = _pair(sentences, scheme)
    if items.empty:
        found = {k: n for k, n in funnel.items() if k.startswith(("injections", "stems"))}
        raise InputError("web text", f"no item from {found}", "give more pages")
    funnel["items"] = items["item_id"].nunique()
    return items, sentences, dict(sorted(funnel.items()))


def _pair(sentences: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Match injections, give them to stems, lay out the items."""
    sentences = sentences.assign(group=sentences["url"])
    injections = sentences[sentences["kind"] == "injection"].assign(form="sentence")
    origin = sentences["url"] + "#" + sentences["start"].astype(str)
    stems = sentences.assign(
        topic=sentences["url"].map(host), relevance="irrelevant", origin=origin
    )[sentences["kind"] == "stem"]
    injections, stems = injections.reset_index(drop=True), stems.reset_index(drop=True)
    quads = match_arms(injections, scheme.tolerances)
    assignment = assign(stems, quads, injections, scheme.per_stem, scheme.max_reuse)
    return build_items(stems, injections, assignment, "webtext")
