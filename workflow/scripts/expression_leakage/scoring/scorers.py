"""From the configuration's words to a scorer or an embedding."""

from collections.abc import Callable, Sequence

import numpy as np

from expression_leakage.models.entry import as_entry
from expression_leakage.models.load import load_backend
from expression_leakage.scoring.judge import Judge, load_judge
from expression_leakage.scoring.relatedness import Embedding, Encoder, lexical
from expression_leakage.scoring.sentiment import Classifier, vader

Scorer = Callable[[Sequence[str]], np.ndarray]


def build_scorer(options: dict, judge: dict | None, threads: int = 1) -> tuple[Scorer, dict]:
    """A scorer and the facts that go into its table's metadata.

    Parameters
    ----------
    options
        One entry of `scoring.scorers`: kind vader, classifier or judge, with its own keys.
    judge
        Entry of the model that a judge is; None for other kinds.
    threads
        CPU threads of a judge.
    """
    if options["kind"] == "vader":
        return vader, {"kind": "vader"}
    if options["kind"] == "classifier":
        classifier = Classifier(options["source"], options.get("revision"), options.get("labels"))
        return classifier, options | {"revision": classifier.revision}
    model = load_backend(as_entry(judge), threads)
    return Judge(model, load_judge(options["prompt"])), options | {"model": model.facts()}


def build_embedding(options: dict) -> tuple[Embedding, dict]:
    """The embedding that relatedness is measured with, and its facts."""
    if options["kind"] == "lexical":
        return lexical, {"kind": "lexical"}
    encoder = Encoder(options["source"], options.get("revision"))
    return encoder, options | {"revision": encoder.revision}
