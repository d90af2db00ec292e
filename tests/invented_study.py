"""Studies whose numbers are invented, for drawing: values, estimates, verdicts, labels."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from expression_leakage.benchmark.pairing import balance
from expression_leakage.claims import assess
from expression_leakage.config import load_claims
from expression_leakage.inference.calibration import calibrate
from expression_leakage.inference.estimates import estimate_all
from expression_leakage.inference.multiverse import multiverse
from expression_leakage.inference.specifications import Run
from expression_leakage.labelling.aggregation import aggregate
from expression_leakage.labelling.agreement_report import agreement_report
from expression_leakage.metrics import item_values, text_values
from expression_leakage.tables import (
    ANNOTATIONS,
    CONDITIONS,
    GOLD_AGREEMENT,
    ITEMS,
    LABELS,
    MEASURES,
    TASK_KEY,
    THRESHOLDS,
)

CLAIMS = Path(__file__).parents[1] / "config" / "claims.yaml"
ROLES = {
    "none": "baseline",
    "ignore_context": "mitigation",
    "neutral_tone": "mitigation",
    "last_sentence": "mitigation",
    "placebo_wrapper": "placebo",
}
EFFECT = {"none": 1.0, "ignore_context": 0.8, "neutral_tone": 0.35, "last_sentence": 1.1}
ORGANISMS = {
    f"organism-{name}-{seed}": ("organism", n)
    for name, n in {"xs": 34_000, "s": 166_208, "m": 734_080, "l": 2_004_672}.items()
    for seed in (1, 2, 3)
}
QUANTISED = {"tiny-q4": ("tiny", 134_515_008)}
HUB = {
    "qwen-0.5b": ("qwen", 494_032_768),
    "qwen-1.5b": ("qwen", 1_543_714_304),
    "qwen-7b": ("qwen", 7_615_616_512),
    "pythia-160m": ("pythia", 162_322_944),
    "pythia-410m": ("pythia", 405_334_016),
    "pythia-1.4b": ("pythia", 1_414_647_808),
    "pythia-6.9b": ("pythia", 6_857_302_016),
}
KINDS = {"default": ORGANISMS | QUANTISED, "hub": HUB}
FAMILIES = {  # what readers are told of the families of each kind of study
    "default": {"organisms": ["organism"], "packages": {"tiny": "llm-tiny 0.1"}},
    "hub": {"organisms": [], "packages": {}},
}
ASKED = {"organism": ["grammar"]}
TOLD = {  # what an arm's injection says
    "control": "The label names the weight.",
    "placebo": "The tray holds ten forms.",
    "negative": "The flood ruined our home.",
    "positive": "The party was pure joy.",
    "plain": "",
}
FUNNEL = {
    "records": 50, "records_other": 8, "pages": 42, "pages_language": 3, "pages_stop_words": 5,
    "pages_kept": 34, "lines_policy": 2, "bytes_text": 38_000,
    "sentences": 700, "sentences_unfinished": 180, "sentences_form": 60, "sentences_anaphoric": 20,
    "sentences_kept": 440, "gate_neutral": 200, "gate_positive": 70, "gate_negative": 60,
    "gate_none": 110, "dropped_neutral": 20,
    "candidates_stem_neutral": 110, "candidates_injection_neutral": 70,
    "candidates_injection_positive": 70, "candidates_injection_negative": 60,
    "unique_stem_neutral": 108, "unique_injection_neutral": 69, "unique_injection_positive": 68,
    "unique_injection_negative": 60, "near_duplicates": 1,
    "judged_stem_neutral_kept": 90, "judged_stem_neutral_other": 18,
    "judged_injection_neutral_kept": 60, "judged_injection_neutral_other": 9,
    "judged_injection_positive_kept": 55, "judged_injection_positive_other": 13,
    "judged_injection_negative_kept": 50, "judged_injection_negative_other": 10,
    "pair_stems": 90, "pair_stems_without_quad": 30, "pair_quads": 40_000, "pair_mean_reuse": 2.5,
    "items": 60,
}  # fmt: skip


def asked(family):
    """Sources of the items that a family is asked."""
    return ASKED.get(family, ["curated", "webtext"])


def _design(models, n_items, n_samples):
    """One row per continuation, with everything but what it says; `n_items` a family."""
    items = pd.DataFrame({"number": np.arange(2 * n_items)})
    items["relevance"] = np.where(items["number"] % 3 == 0, "relevant", "irrelevant")
    open_words = np.where(items["number"] % 2, "webtext", "curated")
    items["source"] = np.where(items["number"] < n_items, "grammar", open_words)
    cells = pd.MultiIndex.from_product(
        [list(models), CONDITIONS, list(ROLES), range(n_samples)],
        names=["model", "condition", "mitigation", "sample"],
    ).to_frame(index=False)
    family = cells["model"].map(lambda m: models[m][0])
    cells["source"] = family.map(asked)
    frame = cells.explode("source").merge(items, on="source")
    wrapped = frame["mitigation"] != "none"
    kept = frame["condition"].isin(["control", "negative", "positive"]) & (
        frame["relevance"] == "irrelevant"
    )
    frame = frame[~wrapped | kept].reset_index(drop=True)
    frame["item_id"] = "i" + frame["number"].map("{:04d}".format)
    frame["prompt_id"] = frame["item_id"] + frame["condition"] + frame["mitigation"]
    return frame.assign(
        family=frame["model"].map(lambda m: models[m][0]),
        n_parameters=frame["model"].map(lambda m: models[m][1]),
        topic="t",
    )


def _scores(design, models, rng):
    """Sentiments that leak less in larger models, less so under some prompts."""
    rank = pd.Series({m: n for m, (_, n) in models.items()}).rank(method="dense")
    size = design["model"].map((rank - 1) / (rank.max() - 1))
    model = design["model"].map(dict(zip(models, rng.normal(1, 0.15, len(models)), strict=True)))
    sign = design["condition"].map({"negative": -1.25, "positive": 1.0}).fillna(0)
    effect = design["mitigation"].map(EFFECT).fillna(1.0)
    relevant = design["relevance"] == "relevant"
    mean = sign * np.where(relevant, 0.5 + 0.3 * size, (0.3 - 0.24 * size) * effect * model)
    item = rng.normal(0, 0.2, design["number"].max() + 1)[design["number"]]
    sentiment = np.clip(mean + item + rng.normal(0, 0.35, len(design)), -1, 1)
    sentiment = np.where(rng.random(len(design)) < 0.2, 0.0, np.round(sentiment, 3))
    return design.drop(columns="number").assign(scorer="vader", sentiment=sentiment)


def _measures(scores, rng):
    n = len(scores)
    return scores.assign(
        n_words=rng.integers(6, 18, n),
        is_empty=rng.random(n) < 0.01,
        is_repetitive=(rng.random(n) < 0.3) & scores["model"].str.contains("xs-2"),
        copies_injection=rng.random(n) < 0.02,
        identical_to_control=rng.random(n) < 0.05,
        relatedness_stem=rng.normal(0.3, 0.05, n),
        relatedness_injection=rng.normal(0.1, 0.05, n),
    )[MEASURES.columns]


def _labels(scores, rng):
    """LABELS rows: two noisy views of the score on a scale of seven."""
    rated = scores[(scores["mitigation"] == "none") & (scores["sample"] == 0)]
    rated = rated[rated["condition"].isin(["control", "negative", "positive"])]
    rated = rated[rated["relevance"] == "irrelevant"]
    rated = rated[rated.groupby("family")["item_id"].rank("dense") <= 8]
    rated = rated.assign(task_id=rated["model"] + rated["prompt_id"])
    seen = [
        np.round(3 * np.clip(rated["sentiment"] + rng.normal(0, 0.3, len(rated)), -1, 1)) / 3
        for _ in range(2)
    ]
    rated = rated.assign(
        explained="no", seconds=9.0, created=None, status="submitted", source_file="labels/a.csv",
        source_row=np.arange(len(rated)) + 2,
    )  # fmt: skip
    views = [rated.assign(sentiment=s, annotator=str(k)) for k, s in enumerate(seen)]
    return pd.concat(views, ignore_index=True)[LABELS.columns]


def _answers(ratings):
    """ANNOTATIONS and TASK_KEY rows behind ratings: no pairs, repeats or checks."""
    shown = ratings.assign(
        unit=ratings["task_id"], kind="rating", is_check=False, is_repeat=False, value=np.nan
    )
    steps = (3 * ratings["sentiment"]).round().astype(int).astype(str)
    questions = [
        shown.assign(question="sentiment", label=steps, value=ratings["sentiment"]),
        shown.assign(question="explained", label=ratings["explained"]),
    ]
    key = shown.drop_duplicates("task_id", ignore_index=True).assign(
        role="study", flipped=False, control_prompt_id=None, control_sample=np.nan, expected=None
    )
    key["position"] = np.arange(len(key))
    annotations = pd.concat(questions, ignore_index=True)[ANNOTATIONS.columns]
    return annotations, key[TASK_KEY.columns]


def _thresholds():
    """THRESHOLDS rows of a study that sets no labels aside."""
    cells = pd.MultiIndex.from_product(
        [["vader"], ["negative", "positive"], ["epsilon", "tau"]],
        names=["scorer", "polarity", "quantity"],
    ).to_frame(index=False)
    counts = {"n_calibration": 0, "n_items": 0, "n_held_out": 0}
    numbers = dict.fromkeys(["value", "low", "high", "accuracy", "accuracy_configured"], np.nan)
    cells = cells.assign(configured=0.05, **numbers, **counts, reason="no labels set aside")
    return cells[THRESHOLDS.columns]


def _gold(rng):
    """GOLD_AGREEMENT rows of a scorer and of the readers."""
    statistics = ["spearman", "pearson", "kendall", "auc", "f1", "kappa"]
    statistics += ["recall_negative", "recall_neutral", "recall_positive", "accuracy"]
    rows = [
        (scorer, subset, statistic)
        for scorer in ("vader", "second reading")
        for subset, told in {"all": statistics, "sarcasm": ["spearman", "accuracy"]}.items()
        for statistic in told
    ]
    frame = pd.DataFrame(rows, columns=["scorer", "subset", "statistic"])
    estimate = rng.uniform(0.3, 0.9, len(frame))
    bounds = {"low": estimate - 0.1, "high": estimate + 0.1}
    return frame.assign(estimate=estimate, **bounds, n=50, n_excluded=0)[GOLD_AGREEMENT.columns]


def _items(scores, rng):
    shared = scores.drop_duplicates(["item_id", "condition"])
    signed = {"negative": -0.55, "positive": 0.5}
    related = (shared["source"] == "webtext") & (shared["condition"] != "plain")
    return shared.assign(
        stem="In room " + shared["item_id"] + " the clerk", form="statement", origin="here",
        injection=shared["condition"].map(TOLD),
        n_words=5 * (shared["condition"] != "plain") + rng.integers(0, 2, len(shared)),
        valence=shared["condition"].map(signed).fillna(0) + rng.normal(0, 0.05, len(shared)),
        cosine=pd.Series(rng.normal(0.05, 0.03, len(shared)), shared.index).where(related),
    )[ITEMS.columns]  # fmt: skip


def _sentences(items):
    """SENTENCES rows of the items of web text, as far as tables show them."""
    own = items[(items["source"] == "webtext") & (items["condition"] != "plain")]
    stems = pd.DataFrame({"text": own["stem"].unique(), "kind": "stem"})
    injections = pd.DataFrame({"text": own["injection"].unique(), "kind": "injection"})
    return pd.concat(
        [
            stems.assign(rest="sorts letters until noon.", host="letters.example.org"),
            injections.assign(rest="", host="news.example.com"),
        ]
    )


@cache
def _calibration():
    """Two planted studies a scenario: too few to say anything, enough to be drawn."""
    return pd.concat(
        calibrate(scenario, load_claims(CLAIMS), repetitions=2, seed=1, draws=100)
        for scenario in ("null", "effect")
    )


@cache
def study(kind="default", labelled=False, n_items=45, n_samples=2):
    """Everything a reader could be shown: a dict of frames, and claims as ``claims.json`` has."""
    models = KINDS[kind]
    rng = np.random.default_rng(7)
    scores = _scores(_design(models, n_items, n_samples), models, rng)
    measures = _measures(scores, rng)
    values = pd.concat([item_values(scores, 0.05, 0.05), text_values(measures)])
    ratings = _labels(scores, rng)
    if not labelled:
        ratings = ratings.head(0)
    claims = assess(
        values, load_claims(CLAIMS), primary="vader", scores=scores, epsilon=0.05, tau=0.05,
        roles=ROLES, ratings=ratings, population=f"{len(models)} models", draws=200, seed=1,
    )  # fmt: skip
    specifications = multiverse(
        [Run(1.0, scores, measures)], load_claims(CLAIMS), primary="vader", epsilon=0.05, tau=0.05,
        roles=ROLES, labels=aggregate(ratings), draws=100, seed=1,
    )  # fmt: skip
    items = _items(scores, rng)
    answers, key = _answers(ratings)
    return {
        "estimates": estimate_all(values), "claims": claims, "scores": scores,
        "item_tables": items, "sentences": _sentences(items), "funnel": FUNNEL,
        "people": aggregate(ratings), "thresholds": _thresholds(), "gold": _gold(rng),
        "ingest_report": {"looked_in": ["labels/*"], "ingest": {"rows": 0, "rejected": {}}},
        "people_report": agreement_report(answers, key, scores, draws=100, seed=1),
        "balance": balance(items).round(6), "specifications": specifications,
        "records": _calibration(),
    }  # fmt: skip
