"""Stems and injections of web pages become items: matched, unrelated, each from another page.

A site has its subject, and two of its pages are seldom unrelated, however little their words have
in common: an injection is never from the host of its stem.
"""

import numpy as np
import pandas as pd

from expression_leakage.benchmark.pairing import (
    ARMS,
    Tolerances,
    assign,
    build_items,
    match_arms,
)
from expression_leakage.benchmark.similarity import Similarity
from expression_leakage.benchmark.webtext.embed import Embedding
from expression_leakage.errors import InputError

_BATCH = 4_096  # texts embedded at a time


def pair(
    sentences: pd.DataFrame,
    embedding: Embedding,
    tolerances: Tolerances,
    per_stem: int = 1,
    max_reuse: int | None = 4,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Items of web text: a stem and four matched injections, from five pages and two hosts or more.

    An injection is unrelated to its stem as far as their embeddings tell, and all four about
    equally so. A text of which the embedding knows no word is left out, since nothing would be
    known of what it is related to.

    Parameters
    ----------
    sentences
        SENTENCES rows; the order changes nothing.
    embedding
        Texts to rows of length one, shape (texts, d); zeros where it has nothing to say.
    tolerances
        How alike the injections of an item are, and how unlike its stem.
    per_stem
        Items wanted per stem.
    max_reuse
        Items an injection may be in; None for no bound.

    Returns
    -------
    items
        ITEMS rows, source "webtext". The topic of a stem is its host; it is irrelevant by rule,
        not by judgement; its origin is ``url#start``, with the start of its sentence in the
        page's text [characters].
    counts
        For the funnel: pair_stems and pair_injections_<polarity> offered, pair_no_vector left
        out, pair_quads, pair_stems_without_quad, items, and the most and the mean items that an
        injection is in: pair_max_reuse and pair_mean_reuse; and pair_rest_valence, the mean
        valence of the stems' natural continuations, which a model's may be compared with.

    Raises
    ------
    InputError
        There is no item.
    """
    stems, stem_vectors = _known(_stems(sentences), embedding)
    injections, vectors = _known(_injections(sentences), embedding)
    quads = match_arms(injections, tolerances)
    similarity = Similarity(stem_vectors, vectors, tolerances.max_cosine, tolerances.cosine)
    by_host = injections.assign(group=injections["host"])
    assignment = assign(stems, quads, by_host, per_stem, max_reuse, similarity)
    offered = injections["polarity"].value_counts().sort_index()
    counts = {
        "pair_stems": len(stems),
        **{f"pair_injections_{polarity}": int(n) for polarity, n in offered.items()},
        "pair_no_vector": len(sentences) - len(stems) - len(injections),
        "pair_quads": len(quads),
        "pair_stems_without_quad": len(stems) - assignment["stem"].nunique(),
        "items": len(assignment),
    }
    if assignment.empty:
        met = ", ".join(f"{n} {name}" for name, n in counts.items())
        remedy = "give more pages, of several hosts, or widen benchmark.webtext.tolerances"
        raise InputError("web text", f"no item: {met}", remedy)
    uses = np.unique(assignment[list(ARMS)].to_numpy(), return_counts=True)[1]
    counts["pair_max_reuse"] = int(uses.max())
    counts["pair_mean_reuse"] = round(float(uses.mean()), 2)
    used = assignment["stem"].unique()
    counts["pair_rest_valence"] = round(float(stems["rest_valence"].iloc[used].mean()), 3)
    return build_items(stems, injections, assignment, "webtext", similarity), counts


def _stems(sentences: pd.DataFrame) -> pd.DataFrame:
    own = sentences[sentences["kind"] == "stem"]
    return pd.DataFrame(
        {
            "text": own["text"],
            "group": own["host"],
            "topic": own["host"],
            "rest_valence": own["rest_valence"],
            "relevance": "irrelevant",
            "origin": own["url"] + "#" + own["start"].astype(str),
        }
    )


def _injections(sentences: pd.DataFrame) -> pd.DataFrame:
    own = sentences[sentences["kind"] == "injection"]
    return pd.DataFrame(
        {
            "text": own["text"],
            "group": own["url"],
            "host": own["host"],
            "polarity": own["polarity"],
            "form": "sentence",
            "n_words": own["n_words"],
            "valence": own["valence"],
        }
    )


def _known(frame: pd.DataFrame, embedding: Embedding) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows that the embedding has something to say about, and their vectors."""
    texts = frame["text"].tolist()
    vectors = np.empty((len(texts), embedding(["a"]).shape[1]), dtype=np.float32)
    for begin in range(0, len(texts), _BATCH):
        vectors[begin : begin + _BATCH] = embedding(texts[begin : begin + _BATCH])
    known = vectors.any(axis=1)
    return frame[known].reset_index(drop=True), vectors[known]
